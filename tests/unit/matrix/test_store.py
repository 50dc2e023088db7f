"""The cells of a matrix and the file of their results: nothing is lost, and nothing is done twice."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.errors import HostError, UsageError
from lab.matrix import CellResult, MatrixPlan, ResultStore, cells, read

PLAN = MatrixPlan(kernels=("2.3.99-pre3", "6.1"), scenarios=("boot", "tour"), seeds=(4, 5))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ResultStore]:
    with ResultStore.begin(tmp_path, PLAN) as opened:
        yield opened


def resumed(store: ResultStore, timeout: float | None = None) -> ResultStore:
    """The same one, opened again after its process has ended."""
    store.__exit__()
    return ResultStore.resume(store.folder, timeout)


def test_dimensions_that_are_not_given_suit_the_kernel() -> None:
    old, *_, new = PLAN.cells()
    assert (old.cpus, old.ram_mib, old.swap_mib, old.variant) == (1, 16, 96, "up")
    assert (new.cpus, new.ram_mib, new.variant) == (2, 28, "smp")
    assert len({cell.name for cell in PLAN.cells()}) == 8


def test_dimensions_multiply() -> None:
    found = cells(["2.4.0"], ["boot"], cpus=(1, 2), ram_mib=(16, 32))
    assert [(cell.cpus, cell.ram_mib) for cell in found] == [(1, 16), (1, 32), (2, 16), (2, 32)]


def test_machine_that_cannot_be_is_refused_before_anything_is_tried() -> None:
    with pytest.raises(UsageError, match="99 CPUs"):
        cells(["2.4.0"], ["boot"], cpus=(1, 99))
    with pytest.raises(UsageError, match="twice"):
        cells(["2.4.0"], ["boot", "boot"])


def test_results_come_back_in_the_order_of_the_plan(store: ResultStore) -> None:
    first, second, *_ = PLAN.cells()
    store.add(CellResult(cell=second, outcome="failed", reason="so", run="cells/x"))
    store.add(CellResult(cell=first, outcome="error"))
    store.add(CellResult(cell=first, outcome="passed", seconds=1.5))
    assert [(result.cell, result.outcome) for result in read(store.folder)] == [(first, "passed"), (second, "failed")]


def test_resumed_one_tries_what_is_missing_and_what_is_unknown(store: ResultStore) -> None:
    outcomes = ("passed", "failed", "timeout", "skipped", "error", "impossible")
    for cell, outcome in zip(PLAN.cells(), outcomes, strict=False):
        store.add(CellResult(cell=cell, outcome=outcome, seconds=PLAN.timeout))  # type: ignore[arg-type]
    again = resumed(store)
    assert again.plan == PLAN
    assert again.open_cells() == PLAN.cells()[4:]


def test_what_took_too_long_is_tried_again_with_more_time(store: ResultStore) -> None:
    first, second, *_ = PLAN.cells()
    store.add(CellResult(cell=first, outcome="timeout", seconds=PLAN.timeout + 1))
    store.add(CellResult(cell=second, outcome="failed", seconds=3.0))
    assert first not in store.open_cells()
    again = resumed(store, timeout=600.0)
    assert again.plan.timeout == 600.0
    assert again.open_cells() == [first, *PLAN.cells()[2:]]


def test_two_at_the_same_time_is_refused(store: ResultStore) -> None:
    with pytest.raises(UsageError, match="is at work already"):
        ResultStore.resume(store.folder)
    resumed(store)


def test_line_that_was_cut_off_is_one_cell_and_no_other(store: ResultStore) -> None:
    first, second, *_ = PLAN.cells()
    store.add(CellResult(cell=first, outcome="passed"))
    store.add(CellResult(cell=second, outcome="passed"))
    path = store.folder / "results.jsonl"
    path.write_bytes(path.read_bytes()[:-7])
    assert [result.cell for result in read(store.folder)] == [first]
    again = resumed(store)
    assert again.open_cells()[0] == second
    again.add(CellResult(cell=second, outcome="failed"))
    assert [result.outcome for result in read(store.folder)] == ["passed", "failed"]


def test_damaged_line_is_named(store: ResultStore) -> None:
    (store.folder / "results.jsonl").write_text("nonsense\n")
    with pytest.raises(UsageError, match=r"results\.jsonl:1: "):
        resumed(store)


def test_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no matrix's folder"):
        ResultStore.resume(tmp_path)


def test_full_disk_is_an_error_of_the_host_and_keeps_what_is_there(store: ResultStore) -> None:
    first, second, *_ = PLAN.cells()
    store.add(CellResult(cell=first, outcome="passed"))
    path = store.folder / "results.jsonl"
    kept = path.read_bytes()
    path.unlink()
    path.symlink_to("/dev/full")
    with pytest.raises(HostError, match="No space left on device"):
        store.add(CellResult(cell=second, outcome="passed"))
    assert second not in store.results
    path.unlink()
    path.write_bytes(kept)
    assert resumed(store).open_cells()[0] == second


def test_part_of_a_line_that_a_nearly_full_disk_took_is_taken_back(store: ResultStore) -> None:
    first, second, *_ = PLAN.cells()
    store.add(CellResult(cell=first, outcome="passed"))
    size = (store.folder / "results.jsonl").stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, before[1]))
    try:
        with pytest.raises(HostError):
            store.add(CellResult(cell=second, outcome="passed"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert (store.folder / "results.jsonl").stat().st_size == size
    store.add(CellResult(cell=second, outcome="failed"))
    assert [result.outcome for result in read(store.folder)] == ["passed", "failed"]
