"""Who works through the cells: builds first come first, their cells at once, and an end that leaves nothing."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from lab.errors import HostError
from lab.matrix import Cell, CellResult, LocalExecutor, MatrixPlan, ResultStore, read, work

PLAN = MatrixPlan(kernels=("2.3.99-pre1", "2.3.99-pre3", "2.4.0"), scenarios=("boot", "tour"))


class FakeWork:
    """What would build and run; it remembers the order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: list[str] = []
        self.troubles: dict[str, work.Trouble] = {}
        self.during: Callable[[Cell], None] = lambda _: None
        monkeypatch.setattr(work, "build", self.build)
        monkeypatch.setattr(work, "attempt", self.attempt)

    def build(
        self, kernel: str, variant: str, _folder: Path, _stop: threading.Event, options: list[str]
    ) -> work.Trouble | None:
        self.seen.append(" ".join(["build", kernel, variant, *options]))
        return self.troubles.get(kernel)

    def attempt(
        self, cell: Cell, _folder: Path, plan: MatrixPlan, stop: threading.Event, options: list[str]
    ) -> CellResult:
        assert plan.timeout == PLAN.timeout
        self.during(cell)
        if stop.is_set():
            raise work.Stopped("stopped")
        self.seen.append(" ".join([cell.kernel, cell.scenario, *options]))
        return CellResult(cell=cell, outcome="passed")


@pytest.fixture(autouse=True)
def fake_work(monkeypatch: pytest.MonkeyPatch) -> FakeWork:
    return FakeWork(monkeypatch)


def executor(folder: Path, workers: int = 1) -> tuple[LocalExecutor, list[CellResult]]:
    told: list[CellResult] = []
    return LocalExecutor(ResultStore.begin(folder, PLAN), workers, told.append), told


def resumed(executor: LocalExecutor) -> ResultStore:
    """The store of an executor that has gone, opened again."""
    executor.store.__exit__()
    return ResultStore.resume(executor.store.folder)


def test_compiler_goes_to_each_build_and_each_run(fake_work: FakeWork, tmp_path: Path) -> None:
    plan = msgspec.structs.replace(PLAN, kernels=("2.4.0",), scenarios=("boot",), cc="gcc-11")
    LocalExecutor(ResultStore.begin(tmp_path, plan), 1, lambda _: None).work(plan.cells(), {})
    assert fake_work.seen == ["build 2.4.0 up --cc=gcc-11", "2.4.0 boot --cc=gcc-11"]


def test_cells_follow_their_build_at_once(fake_work: FakeWork, tmp_path: Path) -> None:
    worker, told = executor(tmp_path)
    worker.work(PLAN.cells(), {})
    assert fake_work.seen[:3] == ["build 2.3.99-pre1 up", "2.3.99-pre1 boot", "2.3.99-pre1 tour"]
    assert len(fake_work.seen) == 9
    assert [result.cell for result in told] == PLAN.cells()
    assert read(tmp_path) == told


def test_kernel_that_is_not_to_be_had_or_does_not_build_stops_no_other(fake_work: FakeWork, tmp_path: Path) -> None:
    fake_work.troubles["2.4.0"] = work.Trouble("impossible", "it does not link")
    worker, _ = executor(tmp_path, workers=3)
    worker.work(PLAN.cells(), {"2.3.99-pre1": "no tree"})
    found = {(result.cell.kernel, result.outcome, result.reason) for result in read(tmp_path)}
    assert found == {
        ("2.3.99-pre1", "impossible", "no tree"),
        ("2.3.99-pre3", "passed", ""),
        ("2.4.0", "impossible", "it does not link"),
    }
    assert "build 2.3.99-pre1 up" not in fake_work.seen


def test_several_work_at_the_same_time(fake_work: FakeWork, tmp_path: Path) -> None:
    both = threading.Barrier(2, timeout=10)

    def meet(_: Cell) -> None:
        both.wait()

    fake_work.during = meet
    worker, told = executor(tmp_path, workers=2)
    worker.work(PLAN.cells()[:4], {})
    assert len(told) == 4


def test_each_of_several_keeps_its_cells_to_one_core_and_its_builds_to_none(
    fake_work: FakeWork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = threading.local()
    used: set[frozenset[int]] = set()
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: getattr(mine, "cores", {3, 5}))
    monkeypatch.setattr(os, "sched_setaffinity", lambda _, cores: setattr(mine, "cores", set(cores)))
    both = threading.Barrier(2, timeout=10)

    def meet(_: Cell) -> None:
        both.wait()
        used.add(frozenset(mine.cores))

    def build(*words: Any) -> work.Trouble | None:
        assert os.sched_getaffinity(0) == {3, 5}
        return fake_work.build(*words)

    fake_work.during = meet
    monkeypatch.setattr(work, "build", build)
    worker, _ = executor(tmp_path, workers=2)
    worker.work(PLAN.cells()[:4], {})
    assert used == {frozenset({3}), frozenset({5})}


def test_error_of_the_host_ends_all_and_keeps_what_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worker, told = executor(tmp_path)
    add = ResultStore.add

    def full(store: ResultStore, result: CellResult) -> None:
        if len(store.results) == 3:
            raise HostError("no space left")
        add(store, result)

    monkeypatch.setattr(ResultStore, "add", full)
    with pytest.raises(HostError, match="no space left"):
        worker.work(PLAN.cells(), {})
    assert read(tmp_path) == told
    assert len(told) == 3
    assert resumed(worker).open_cells() == PLAN.cells()[3:]


def test_stopped_at_half_and_resumed_it_loses_nothing_and_repeats_nothing(fake_work: FakeWork, tmp_path: Path) -> None:
    worker, told = executor(tmp_path)
    fake_work.during = lambda cell: worker.stop.set() if cell == PLAN.cells()[3] else None
    worker.work(PLAN.cells(), {})
    assert [result.cell for result in told] == PLAN.cells()[:3]
    fake_work.seen.clear()
    store = resumed(worker)
    fake_work.during = lambda _: None
    LocalExecutor(store, 2, told.append).work(store.open_cells(), {})
    assert [result.cell for result in read(tmp_path)] == PLAN.cells()
    assert sum(not line.startswith("build") for line in fake_work.seen) == 3
