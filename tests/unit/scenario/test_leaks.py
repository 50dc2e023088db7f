"""The last look at a guest: what kmemleak says, and a kernel that has none."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from lab.errors import GuestFault
from lab.journal import Journal
from lab.machine.deadline import Deadline
from lab.machine.machine import Machine
from lab.machine.protocol import Op
from lab.machine.rpc import RefusedError
from lab.scenario.leaks import KMEMLEAK, check_leaks

LEAK = b"unreferenced object 0xc1: (size 64)\n  comm worker\nunreferenced object 0xc2: (size 32)\n"


class Guest:
    """Agent and machine in one; each look at the clock is a tenth of a second later."""

    def __init__(self, report: bytes | None, ticks: int = 0) -> None:
        self.report = report
        self.ticks = ticks
        self.acts: list[str] = []
        self.agent = self
        self.rpc = SimpleNamespace(deadline=Deadline)

    def time(self) -> Any:
        self.ticks = (self.ticks + 10) & 0xFFFFFFFF
        return SimpleNamespace(ticks=self.ticks)

    def read_file(self, path: str) -> bytes:
        assert path == KMEMLEAK
        if self.report is None:
            raise RefusedError("no such file", -2, "reading")
        return b""

    def request(self, op: Op, payload: bytes, deadline: float) -> bytes:
        assert (op, deadline > 1) == (Op.READ_FILE, True)
        assert payload.endswith(KMEMLEAK.encode())
        return self.report or b""

    def write_file(self, path: str, data: bytes, deadline: float) -> None:
        assert (path, deadline > 1) == (KMEMLEAK, True)
        self.acts.append(f"{data.decode()} at {self.ticks}")

    def check(self) -> None:
        self.acts.append("check")


def look(guest: Guest) -> None:
    check_leaks(cast("Machine", guest), Journal())


def test_kernel_without_kmemleak_passes() -> None:
    guest = Guest(None)
    look(guest)
    assert guest.acts == []


@pytest.mark.parametrize("begin", [0, 0xFFFFFFE0])
def test_second_look_when_everything_is_old_enough(begin: int) -> None:
    guest = Guest(b"", begin)
    look(guest)
    first, second = ((begin + ticks) & 0xFFFFFFFF for ticks in (10, 40))
    assert guest.acts == [f"scan at {first}", f"scan at {second}", "check"]


def test_leak_is_a_fault_that_shows_who_allocated() -> None:
    with pytest.raises(GuestFault, match="nobody points to it") as caught:
        look(Guest(LEAK))
    assert "  comm worker" in caught.value.seen
