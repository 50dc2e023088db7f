"""What a sample holds, and when samples are taken."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lab.errors import AgentError, HostError, LabError, MachineError
from lab.journal import Journal
from lab.machine.agent import GuestTime, SysInfo
from lab.machine.blocks import BlockStats, DriveStats
from lab.machine.machine import Machine
from lab.machine.spec import MachineState
from lab.scenario.sampler import sampled

MEMORY = SysInfo(3, 0, 0, 0, 3584, 1024, 0, 0, 24576, 24000, 7, 4096)


def machine(sysinfo: Callable[[], SysInfo] = lambda: MEMORY, state: MachineState = MachineState.RUNNING) -> Machine:
    agent = SimpleNamespace(time=lambda: GuestTime(954849604, 250000, 0, 0, 0, 0, 0), sysinfo=sysinfo)
    stats = BlockStats(swap=DriveStats(read_bytes=4096, written_bytes=8192))
    return cast("Machine", SimpleNamespace(agent=agent, block_stats=lambda: stats, state=state))


class Troubled:
    """A guest that answers, but for the second request, and tells when it was asked so often."""

    def __init__(self, trouble: LabError, often: int = 4) -> None:
        self.asked = 0
        self.enough = threading.Event()
        self._trouble = trouble
        self._often = often

    def __call__(self) -> SysInfo:
        self.asked += 1
        if self.asked == self._often:
            self.enough.set()
        if self.asked == 2:
            raise self._trouble
        return MEMORY


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


@pytest.mark.parametrize("trouble", [MachineError("it is stopped"), AgentError("the machine was restored")])
def test_samples_go_on_after_the_machine_stood_still(trouble: LabError) -> None:
    guest = Troubled(trouble)
    with sampled(machine(guest, MachineState.STOPPED), Journal(), wanted=True):
        assert guest.enough.wait(60.0)


def test_samples_end_with_the_machine() -> None:
    guest = Troubled(MachineError("QEMU is gone"), often=2)
    with sampled(machine(guest, MachineState.DEAD), Journal(), wanted=True):
        assert guest.enough.wait(60.0)
        for thread in threading.enumerate():
            if thread.name == "sampler":
                thread.join(60.0)
                assert not thread.is_alive()
    assert guest.asked == 3


def test_trouble_of_the_host_is_raised_at_the_end() -> None:
    guest = Troubled(HostError("the disk is full"), often=2)
    with pytest.raises(HostError, match="the disk is full"), sampled(machine(guest), Journal(), wanted=True):
        assert guest.enough.wait(60.0)
