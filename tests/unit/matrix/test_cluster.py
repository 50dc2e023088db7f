"""The executor that is a cluster, with a scheduler that answers as the test wants."""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import CancelledError
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lab import build, source
from lab.errors import HostError, SourceError, UsageError
from lab.journal import Journal
from lab.matrix import Cell, CellResult, MatrixPlan, ResultStore, read, tasks
from lab.matrix.archive import Archive, pack
from lab.matrix.cluster import AHEAD, ClusterExecutor
from lab.matrix.connect import connected
from lab.matrix.work import Trouble
from lab.settings import Settings
from lab.version import KernelVersion
from tests.unit.build.toykernel import TOY_TREE

PLAN = MatrixPlan(kernels=("2.3.99-pre1", "2.3.99-pre3"), scenarios=("boot",), seeds=(1, 2, 3))
KEY = "ab" * 16
UNDER_WAY = object()


class KilledWorker(Exception):
    """What Dask says when every worker that took a task died."""


class Future:
    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def add_done_callback(self, then: Callable[[Future], None]) -> None:
        if self.answer is not UNDER_WAY:
            then(self)

    @property
    def status(self) -> str:
        return "error" if isinstance(self.answer, BaseException) else "finished" if self.answer else "cancelled"

    def exception(self) -> BaseException:
        if isinstance(self.answer, BaseException):
            return self.answer
        raise CancelledError


class Scheduler:
    """Answers each task at once with what `build` and `attempt` return or raise."""

    scheduler = SimpleNamespace(address="tcp://127.0.0.1:8786")

    def __init__(self, folder: Path) -> None:
        self.sent: list[tuple[str, ...]] = []
        self.cancelled = 0
        self.most = 0
        self.kernel = folder / "kernel"
        self.kernel.mkdir()
        (self.kernel / "bzImage").write_bytes(b"kernel")
        self.nothing = pack(folder / "nowhere")
        self.build: Callable[..., Any] = lambda *_: tasks.BuildOutcome(KEY, pack(self.kernel), self.nothing)
        self.attempt: Callable[..., Any] = lambda cell, *_: self.passed(cell)

    def passed(self, cell: Cell) -> tasks.Done:
        return tasks.Done(CellResult(cell=cell, outcome="passed"), self.nothing)

    def nthreads(self) -> dict[str, int]:
        return {"one": 1, "two": 1}

    def submit(self, function: Any, _order: tasks.Order, *words: Any, **_: Any) -> Future:
        with_it = "alone" if words[-1] is None else "with it"
        if function is tasks.build_kernel:
            self.sent.append(("build", *words[:2], with_it))
            return self.answer(self.build, *words)
        self.sent.append((words[0].kernel, str(words[0].seed), with_it))
        return self.answer(self.attempt, *words)

    def answer(self, do: Callable[..., Any], *words: Any) -> Future:
        try:
            return Future(do(*words))
        except Exception as error:  # noqa: BLE001 - as Dask does
            return Future(error)

    def gather(self, futures: list[Future]) -> list[Any]:
        return [future.answer for future in futures]

    def cancel(self, futures: list[Future]) -> None:
        self.cancelled += len(futures)

    def run(self, *_: object, **__: object) -> dict[str, int]:
        return {"one": 0}


@pytest.fixture
def scheduler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scheduler:
    tree = SimpleNamespace(digest="d", path=TOY_TREE, version=KernelVersion("2.3.99-pre3"))
    monkeypatch.setattr(source, "obtain", lambda *_, **__: tree)
    monkeypatch.setattr(build, "Plan", lambda **_: None)
    monkeypatch.setattr(build, "find", lambda *_: None)
    return Scheduler(tmp_path)


def cluster(folder: Path, scheduler: Scheduler, plan: MatrixPlan = PLAN) -> ClusterExecutor:
    settings = Settings(cache=folder / "cache", runs=folder)
    (folder / "matrix").mkdir()
    return ClusterExecutor(ResultStore.begin(folder / "matrix", plan), scheduler, settings, lambda _: None)


def work(folder: Path, scheduler: Scheduler) -> list[tuple[str, int, str, str]]:
    cluster(folder, scheduler).work(PLAN.cells(), {})
    found = read(folder / "matrix")
    return [(one.cell.kernel, one.cell.seed, one.outcome, one.reason) for one in found]


def all_of(outcome: str, reason: str = "") -> list[tuple[str, int, str, str]]:
    return [(cell.kernel, cell.seed, outcome, reason) for cell in PLAN.cells()]


def test_kernel_is_built_once_and_its_cells_follow(scheduler: Scheduler, tmp_path: Path) -> None:
    assert work(tmp_path, scheduler) == all_of("passed")
    assert [words[:2] for words in scheduler.sent if words[0] == "build"] == [("build", name) for name in PLAN.kernels]
    assert scheduler.sent[0] == ("build", "2.3.99-pre1", "up", "alone")
    assert (tmp_path / "cache" / "kernels" / KEY / "bzImage").read_bytes() == b"kernel"
    assert len((tmp_path / "matrix" / "results.jsonl").read_text().splitlines()) == len(PLAN.cells())


def test_kernel_that_is_in_this_hosts_cache_is_not_built(
    scheduler: Scheduler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "find", lambda *_: SimpleNamespace(key=KEY))
    assert work(tmp_path, scheduler) == all_of("passed")
    assert not [words for words in scheduler.sent if words[0] == "build"]


def test_kernel_and_tree_are_sent_to_who_lacks_them(scheduler: Scheduler, tmp_path: Path) -> None:
    build_it, attempt = scheduler.build, scheduler.attempt
    scheduler.build = lambda *words: tasks.Lacks("w") if words[-1] is None else build_it(*words)
    scheduler.attempt = lambda cell, *words: (
        tasks.Lacks("w") if cell.seed == 2 and words[-1] is None else attempt(cell, *words)
    )
    assert work(tmp_path, scheduler) == all_of("passed")
    assert scheduler.sent.count(("build", "2.3.99-pre1", "up", "with it")) == 1
    assert {words for words in scheduler.sent if words[-1] == "with it" and words[0] != "build"} == {
        ("2.3.99-pre1", "2", "with it"),
        ("2.3.99-pre3", "2", "with it"),
    }


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (KilledWorker("x"), "every worker that took it died"),
        (HostError("the disk is full"), "the disk is full"),
        (OSError("strange\nmore"), "OSError: strange"),
    ],
)
def test_task_that_came_to_nothing_is_an_error_of_that_cell_and_tried_again_when_resumed(
    error: Exception, reason: str, scheduler: Scheduler, tmp_path: Path
) -> None:
    def attempt(cell: Cell, *_: Any) -> tasks.Done:
        if cell.seed == 1:
            raise error
        return scheduler.passed(cell)

    scheduler.attempt = attempt
    executor = cluster(tmp_path, scheduler)
    executor.work(PLAN.cells(), {})
    assert [(cell.seed, executor.store.results[cell].reason) for cell in executor.store.open_cells()] == [
        (1, reason)
    ] * 2


def test_kernel_that_does_not_build_or_is_not_to_be_had_stops_no_other(
    scheduler: Scheduler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler.build = lambda *_: tasks.NotBuilt(Trouble("impossible", "it does not link"), scheduler.nothing)
    tree = source.obtain("2.3.99-pre3", settings=None, journal=None)  # type: ignore[arg-type]

    def obtain(name: str, **_: Any) -> Any:
        if name == "2.3.99-pre1":
            raise SourceError("not whole")
        return tree

    monkeypatch.setattr(source, "obtain", obtain)
    found = work(tmp_path, scheduler)
    assert {(kernel, outcome, reason) for kernel, _, outcome, reason in found} == {
        ("2.3.99-pre1", "impossible", "not whole"),
        ("2.3.99-pre3", "impossible", "it does not link"),
    }


def test_error_that_nobody_thought_of_ends_all(
    scheduler: Scheduler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def obtain(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(source, "obtain", obtain)
    with pytest.raises(ZeroDivisionError):
        work(tmp_path, scheduler)


@pytest.mark.parametrize("error", [tasks.StrangerError("another kvmd-lab"), ModuleNotFoundError("no lab")])
def test_worker_with_another_kvmd_lab_ends_all(error: Exception, scheduler: Scheduler, tmp_path: Path) -> None:
    def refuse(cell: Cell, *_: Any) -> Any:
        if cell.seed == 1:
            raise error
        return UNDER_WAY

    scheduler.attempt = refuse
    with pytest.raises(UsageError, match=r"another kvmd-lab|no lab"):
        work(tmp_path, scheduler)
    assert scheduler.cancelled == 2, "what is under way is taken back"
    assert read(tmp_path / "matrix") == []


def test_scheduler_that_has_gone_is_told_with_the_way_on(scheduler: Scheduler, tmp_path: Path) -> None:
    scheduler.attempt = lambda *_: None
    with pytest.raises(HostError, match="has gone") as caught:
        work(tmp_path, scheduler)
    assert caught.value.hint.endswith(f"--resume {tmp_path / 'matrix'}")


def test_no_more_is_under_way_than_keeps_the_workers_busy(scheduler: Scheduler, tmp_path: Path) -> None:
    plan = MatrixPlan(kernels=PLAN.kernels, scenarios=("boot", "tour"), seeds=tuple(range(10)))
    executor = cluster(tmp_path, scheduler, plan)
    most = 0
    submit = scheduler.submit

    def count(*words: Any, **more: Any) -> Future:
        nonlocal most
        most = max(most, len(executor._flying) + 1)
        return submit(*words, **more)

    scheduler.submit = count  # type: ignore[method-assign]
    executor.work(plan.cells(), {})
    assert most == AHEAD * 2


def test_without_dask_it_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UsageError) as caught, connected("local", 2):
        pass
    assert "pip install 'kvmd-lab[cluster]'" in caught.value.hint


def test_kernel_that_was_sent_is_stored_once_and_whole(tmp_path: Path) -> None:
    (tmp_path / "kernel").mkdir()
    (tmp_path / "kernel" / "bzImage").write_bytes(b"kernel")
    archive = pack(tmp_path / "kernel")
    cache = tmp_path / "cache"
    assert tasks.stored(KEY, None, cache) is None
    folder = tasks.stored(KEY, archive, cache)
    assert folder == cache / "kernels" / KEY
    assert tasks.stored(KEY, Archive("", b""), cache) == folder, "what is there is not unpacked again"


def test_tree_that_was_sent_keeps_the_name_that_its_user_gave_it(tmp_path: Path) -> None:
    settings = Settings(cache=tmp_path / "cache", runs=tmp_path / "runs")
    pristine = source.obtain(None, tree=TOY_TREE, called="2.3.99-pre3-5", settings=settings, journal=Journal())
    sent = tasks.ship(pristine, tmp_path)
    found = tasks._tree("2.3.99-pre3-5", pristine.digest, sent, settings)
    assert found is not None
    tree, options = found
    assert (tree.version.text, options[-1]) == ("2.3.99-pre3-5", "--as=2.3.99-pre3-5")
    assert options[0].startswith("--tree=")
