"""What goes wrong on the host, or in the lab, where nobody waits for an answer, ends the machine with a verdict."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.errors import HostError, InfraError
from lab.journal import Journal
from lab.machine.console import Console
from lab.machine.machine import Machine, Setup
from lab.machine.qemu import LocalQemu
from lab.machine.session import Session
from lab.machine.spec import MachineState
from tests.runs import children, released


@pytest.fixture
def full(setup: Callable[..., Setup], tmp_path: Path) -> Callable[..., Setup]:
    """Give the same with a console log on a full disk."""
    (tmp_path / "full.log").symlink_to("/dev/full")

    def make(toy: str = "") -> Setup:
        how = setup(toy)
        how["log"] = tmp_path / "full.log"
        return how

    return make


def stumble(*_: object) -> None:
    raise LookupError("nothing of the kind")


def test_full_disk_is_told_where_the_guest_is_well(full: Callable[..., Setup]) -> None:
    with pytest.raises(HostError, match=r"full\.log: the disk is full"):
        Machine.boot(**full())


def test_reader_that_fails_is_told(setup: Callable[..., Setup], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Console, "feed", stumble)
    with pytest.raises(InfraError, match="the lab stumbled") as caught:
        Machine.boot(**setup())
    assert "LookupError: nothing of the kind" in caught.value.seen


def test_event_whose_reader_fails_is_told(setup: Callable[..., Setup], monkeypatch: pytest.MonkeyPatch) -> None:
    def on_event(_: Session, name: str, __: dict[str, object]) -> None:
        stumble() if name == "STOP" and ready else None

    ready: list[Machine] = []  # events come while it is restored, too
    monkeypatch.setattr(Session, "_on_event", on_event)
    with Machine.restored(**setup()) as machine:
        ready.append(machine)
        machine.stop()  # of which QEMU tells before it answers
        with pytest.raises(InfraError, match="the lab stumbled"):
            machine.check()
        assert machine._live("test")._gone.wait(20.0)  # nobody reads from it
        assert machine.state is MachineState.DEAD


def test_nothing_is_left_of_a_qemu_whose_start_could_not_be_written_down(
    setup: Callable[..., Setup], monkeypatch: pytest.MonkeyPatch
) -> None:
    record = Journal.record

    def full(self: Journal, kind: str, **fields: object) -> None:
        if kind == "command" and "qemu" in str(fields["argv"]):
            raise HostError("the disk is full")
        record(self, kind, **fields)

    before = set(children(os.getpid()))
    monkeypatch.setattr(Journal, "record", full)
    with pytest.raises(HostError, match="the disk is full"):
        Machine.boot(**setup())
    assert all(released(pid) for pid in set(children(os.getpid())) - before)


def test_all_is_let_go_of_a_qemu_that_cannot_be_killed(
    setup: Callable[..., Setup], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: LocalQemu) -> None:
        raise HostError("not permitted")

    machine = Machine.restored(**setup())
    qemu = machine._live("test")._qemu
    assert isinstance(qemu, LocalQemu)
    process = qemu._process
    assert process is not None
    monkeypatch.setattr(LocalQemu, "kill", refuse)
    try:
        with pytest.raises(HostError, match="not permitted"):
            machine.close()
        assert [end.fileno() for end in qemu._sockets.values()] == [-1] * len(qemu._sockets)
    finally:
        process.kill()
        process.wait()
