"""The machines of a run: the same one for equal dimensions, and only one that goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from lab.cleaning import remove
from lab.errors import HostError
from lab.journal import Journal
from lab.machine.machine import Machine
from lab.machine.spec import MachineSpec, MachineState
from lab.scenario.subject import Subject
from lab.scenario.workbench import Workbench
from lab.settings import Settings


class Guest:
    """A machine that can be stopped and restored, and nothing else."""

    def __init__(self) -> None:
        self.state = MachineState.RUNNING

    @classmethod
    def restored(cls, **_: object) -> Self:
        return cls()

    def restore(self) -> None:
        self.state = MachineState.RUNNING

    def stop(self) -> None:
        assert self.state is MachineState.RUNNING
        self.state = MachineState.STOPPED

    def close(self) -> None:
        self.state = MachineState.CLOSED


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workbench]:
    monkeypatch.setattr(Machine, "restored", Guest.restored)
    monkeypatch.setattr(Workbench, "setup", lambda _self, _spec: {})
    with Workbench(Subject(), Settings(cache=tmp_path, runs=tmp_path), Journal()) as opened:
        yield opened


def states(*machines: Any) -> list[str]:
    return [machine.state.value for machine in machines]


def test_machine_that_nobody_uses_stands_still(bench: Workbench) -> None:
    one = bench.machine(MachineSpec())
    other = bench.machine(MachineSpec(skip_idle=True))
    third = bench.machine(MachineSpec(cpus=2))
    assert states(one, other, third) == ["stopped", "stopped", "running"]
    assert bench.machine(MachineSpec(skip_idle=True)) is other
    assert states(one, other, third) == ["stopped", "running", "stopped"]


def test_dead_machine_is_left_alone(bench: Workbench) -> None:
    dead: Any = bench.machine(MachineSpec())
    dead.state = MachineState.DEAD
    assert states(dead, bench.machine(MachineSpec(cpus=2))) == ["dead", "running"]


def test_cache_is_not_cleaned_while_a_workbench_is_open(tmp_path: Path) -> None:
    """Also between two of its stages, and from before there is a cache."""
    settings = Settings(cache=tmp_path / "cache", runs=tmp_path)
    with Workbench(Subject(), settings, Journal()), pytest.raises(HostError, match="is in use"):
        remove(settings.cache, everything=False)
