"""A QEMU of the peer, with a QEMU of the test's own."""

from __future__ import annotations

import asyncio
import signal
from typing import Any, cast

import pytest

from lab.machine.qemu import Hearers
from lab.remote.hosted import HostedQemu
from lab.remote.packets import STATUS, Kind, Packet

SECONDS = 10.0


class Qemu:
    """Says something, and then ends with `status`, or not at all (None); an error is raised instead."""

    def __init__(self, status: int | Exception | None) -> None:
        self.status = status
        self.killed = self.let_go = self.closed_too_early = False

    async def serve(self, hearers: Hearers) -> int:
        hearers["console"](b"hello")
        try:
            if self.status is None:
                await asyncio.Event().wait()
            if isinstance(self.status, Exception):
                raise self.status
        finally:
            self.let_go = True
        return self.status or 0

    def kill(self) -> None:
        self.killed = True

    def close(self) -> None:
        self.closed_too_early = not self.let_go


def hosted(qemu: Qemu) -> tuple[HostedQemu, list[Packet]]:
    said: list[Packet] = []
    return HostedQemu(7, cast("Any", qemu), said.append), said


def test_last_word_is_how_it_ended() -> None:
    made, said = hosted(Qemu(3))
    assert made.ended.wait(SECONDS)
    assert said == [Packet(Kind.CONSOLE, 7, b"hello"), Packet(Kind.ENDED, 7, STATUS.pack(3))]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_one_that_cannot_be_heard_any_more_is_killed_and_told_so() -> None:
    qemu = Qemu(LookupError("nothing of the kind"))
    made, said = hosted(qemu)
    assert made.ended.wait(SECONDS)
    assert qemu.killed
    assert said[-1] == Packet(Kind.ENDED, 7, STATUS.pack(-signal.SIGKILL))


def test_one_that_does_not_end_is_let_go_before_its_descriptors_are_closed() -> None:
    qemu = Qemu(None)
    made, _ = hosted(qemu)
    made.drop(0.01)
    assert (qemu.killed, qemu.closed_too_early, made.ended.is_set()) == (True, False, True)
