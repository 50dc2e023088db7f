"""What a sample holds, and when samples are taken."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from lab.journal import Journal
from lab.machine.agent import GuestTime, SysInfo
from lab.machine.blocks import BlockStats, DriveStats
from lab.machine.machine import Machine
from lab.scenario.sampler import sampled

MEMORY = SysInfo(3, 0, 0, 0, 3584, 1024, 0, 0, 24576, 24000, 7, 4096)


def machine() -> Machine:
    agent = SimpleNamespace(time=lambda: GuestTime(954849604, 250000, 0, 0, 0, 0, 0), sysinfo=lambda: MEMORY)
    stats = BlockStats(swap=DriveStats(read_bytes=4096, written_bytes=8192))
    return cast("Machine", SimpleNamespace(agent=agent, block_stats=lambda: stats))


def test_sample_holds_the_clock_the_memory_and_the_traffic() -> None:
    journal = Journal()
    heard: list[dict[str, Any]] = []
    journal.listen(heard.append)
    with sampled(machine(), journal, wanted=False):
        pass
    first, last = heard
    del first["t"], last["t"]
    assert first == last
    assert first == {
        "kind": "sample",
        "source": "machine",
        "guest": 954849604.25,
        "total_kib": 14336,
        "free_kib": 4096,
        "swap_kib": 98304,
        "swap_used_kib": 2304,
        "swap_read": 4096,
        "swap_written": 8192,
    }
