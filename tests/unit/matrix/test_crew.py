"""Who works through the cells: builds first come first, their cells at once, and an end that leaves nothing."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.errors import HostError
from lab.matrix import Book, Cell, Crew, Plan, Result, read, work

PLAN = Plan(kernels=("2.3.99-pre1", "2.3.99-pre3", "2.4.0"), scenarios=("boot", "tour"))


class Hands:
    """What would build and run; it remembers the order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: list[str] = []
        self.troubles: dict[str, work.Trouble] = {}
        self.during: Callable[[Cell], None] = lambda _: None
        monkeypatch.setattr(work, "build", self.build)
        monkeypatch.setattr(work, "attempt", self.attempt)

    def build(self, kernel: str, variant: str, _folder: Path, _stop: threading.Event) -> work.Trouble | None:
        self.seen.append(f"build {kernel} {variant}")
        return self.troubles.get(kernel)

    def attempt(self, cell: Cell, _folder: Path, plan: Plan, stop: threading.Event) -> Result:
        assert plan == PLAN
        self.during(cell)
        if stop.is_set():
            raise work.Stopped("stopped")
        self.seen.append(f"{cell.kernel} {cell.scenario}")
        return Result(cell=cell, outcome="passed")


@pytest.fixture(autouse=True)
def hands(monkeypatch: pytest.MonkeyPatch) -> Hands:
    return Hands(monkeypatch)


def crew(folder: Path, workers: int = 1) -> tuple[Crew, list[Result]]:
    told: list[Result] = []
    return Crew(Book.begin(folder, PLAN), workers, told.append), told


def resumed(crew: Crew) -> Book:
    """The book of a crew that has gone, opened again."""
    crew.book.__exit__()
    return Book.resume(crew.book.folder)


def test_cells_follow_their_build_at_once(hands: Hands, tmp_path: Path) -> None:
    worker, told = crew(tmp_path)
    worker.work(PLAN.cells(), {})
    assert hands.seen[:3] == ["build 2.3.99-pre1 up", "2.3.99-pre1 boot", "2.3.99-pre1 tour"]
    assert len(hands.seen) == 9
    assert [result.cell for result in told] == PLAN.cells()
    assert read(tmp_path) == told


def test_kernel_that_is_not_to_be_had_or_does_not_build_stops_no_other(hands: Hands, tmp_path: Path) -> None:
    hands.troubles["2.4.0"] = work.Trouble("impossible", "it does not link")
    worker, _ = crew(tmp_path, workers=3)
    worker.work(PLAN.cells(), {"2.3.99-pre1": "no tree"})
    found = {(result.cell.kernel, result.outcome, result.reason) for result in read(tmp_path)}
    assert found == {
        ("2.3.99-pre1", "impossible", "no tree"),
        ("2.3.99-pre3", "passed", ""),
        ("2.4.0", "impossible", "it does not link"),
    }
    assert "build 2.3.99-pre1 up" not in hands.seen


def test_several_work_at_the_same_time(hands: Hands, tmp_path: Path) -> None:
    both = threading.Barrier(2, timeout=10)

    def meet(_: Cell) -> None:
        both.wait()

    hands.during = meet
    worker, told = crew(tmp_path, workers=2)
    worker.work(PLAN.cells()[:4], {})
    assert len(told) == 4


def test_each_of_several_keeps_its_cells_to_one_core_and_its_builds_to_none(
    hands: Hands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
        return hands.build(*words)

    hands.during = meet
    monkeypatch.setattr(work, "build", build)
    worker, _ = crew(tmp_path, workers=2)
    worker.work(PLAN.cells()[:4], {})
    assert used == {frozenset({3}), frozenset({5})}


def test_error_of_the_host_ends_all_and_keeps_what_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worker, told = crew(tmp_path)
    add = Book.add

    def full(book: Book, result: Result) -> None:
        if len(book.results) == 3:
            raise HostError("no space left")
        add(book, result)

    monkeypatch.setattr(Book, "add", full)
    with pytest.raises(HostError, match="no space left"):
        worker.work(PLAN.cells(), {})
    assert read(tmp_path) == told
    assert len(told) == 3
    assert resumed(worker).open_cells() == PLAN.cells()[3:]


def test_stopped_at_half_and_resumed_it_loses_nothing_and_repeats_nothing(hands: Hands, tmp_path: Path) -> None:
    worker, told = crew(tmp_path)
    hands.during = lambda cell: worker.stop.set() if cell == PLAN.cells()[3] else None
    worker.work(PLAN.cells(), {})
    assert [result.cell for result in told] == PLAN.cells()[:3]
    hands.seen.clear()
    book = resumed(worker)
    hands.during = lambda _: None
    Crew(book, 2, told.append).work(book.open_cells(), {})
    assert [result.cell for result in read(tmp_path)] == PLAN.cells()
    assert sum(not line.startswith("build") for line in hands.seen) == 3
