"""The sub-commands for many kernels at once: matrix, bisect."""

from __future__ import annotations

import itertools
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lab.cli import common
from lab.cli.options import (
    AsJson,
    Compiler,
    CpuNumbers,
    Dask,
    DryRun,
    Kernels,
    RamSizes,
    Scenario,
    Scenarios,
    Seed,
    Seeds,
    Size,
    SwapSizes,
    Timeout,
    Workers,
    expand,
)
from lab.errors import UsageError
from lab.settings import Settings
from lab.sizes import CPUS, RAM_MIB, SWAP_MIB

if TYPE_CHECKING:
    from lab.matrix import Cell, CellResult, LocalExecutor, ResultStore
    from lab.matrix.cluster import ClusterExecutor
    from lab.matrix.executor import Tell

    Start = Callable[[ResultStore, Tell], LocalExecutor | ClusterExecutor]

SCENARIOS = ("boot", "user_memory", "kvmd_regions")
KERNELS = "<2.5"
TIMEOUT = 120.0
FAILED, UNKNOWN = 1, 8


def register(app: typer.Typer) -> None:
    """Add the sub-commands."""
    app.command()(expand(matrix))
    app.command()(expand(bisect))


def matrix(
    context: typer.Context,
    scenario: Scenarios = None,
    kernel: Kernels = KERNELS,
    cpus: CpuNumbers = "",
    ram: RamSizes = "",
    swap: SwapSizes = "",
    seed: Seed = None,
    seeds: Seeds = 1,
    cc: Compiler = None,
    timeout: Timeout = TIMEOUT,
    workers: Workers = None,
    dask: Dask = "",
    resume: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Go on with one that was stopped.")] = None,
    as_json: AsJson = False,
    dry_run: DryRun = False,
) -> None:
    """Run scenarios on many kernels and machines; each result is a line of FOLDER/results.jsonl as soon as it is there.

    Without a SCENARIO: boot, user_memory and kvmd_regions. A cell that fails stops nothing. What has no tree at hand is
    told before and after. Stop it with Ctrl-C, and go on with --resume; a larger --timeout then tries again what took
    too long.
    """
    from lab.matrix import MatrixPlan, ResultStore
    from lab.report.folder import new_run

    settings = Settings.from_environment()
    given = _given(context)
    _check_cluster(dask, workers)
    if resume is None:
        plan = MatrixPlan(
            kernels=tuple(_selected(kernel, settings)),
            scenarios=_scenarios(scenario or SCENARIOS),
            cpus=_numbers("--cpus", cpus, CPUS),
            ram_mib=_numbers("--ram", ram, RAM_MIB),
            swap_mib=_numbers("--swap", swap, SWAP_MIB),
            seeds=_seeds(seed, seeds),
            timeout=timeout,
            cc=cc,
        )
        cells = plan.cells()
        if dry_run:
            _say_cells(cells, as_json=as_json)
            return
        opened = ResultStore.begin(new_run(settings.runs, "matrix"), plan)
    elif given - {"resume", "timeout", "workers", "dask", "as_json", "dry_run"}:
        raise UsageError(
            "--resume goes on with what was asked for then", hint="only --timeout, --workers, --dask and --json"
        )
    else:
        opened = ResultStore.resume(resume, timeout if "timeout" in given else None)
    with opened as store:
        if dry_run:
            _say_cells(store.open_cells(), as_json=as_json)
            return
        _work(store, settings, workers, dask, as_json=as_json)


def _say_cells(cells: Sequence[Cell], *, as_json: bool) -> None:
    common.say(cells, as_json=as_json, text="\n".join(cell.name for cell in cells))


def _work(store: ResultStore, settings: Settings, workers: int | None, dask: str, *, as_json: bool) -> None:
    """Try the cells that are open, tell of each, leave the page, and leave with the worst that there was."""
    from lab.matrix import read
    from lab.matrix.page import leave_grid
    from lab.matrix.trees import missing

    cells = store.open_cells()
    without = missing(dict.fromkeys(cell.kernel for cell in cells), settings)
    _tell_missing(without)
    known = sum(result.known for result in store.results.values())
    _note(f"{len(cells)} cells to try, {known} known; {store.folder}")
    number = itertools.count(1)
    try:
        with _executor(settings, workers, dask) as start:
            start(store, lambda one: _note(f"[{next(number)}/{len(cells)}] {_line(one)}")).work(cells, without)
    finally:
        _tell_missing(without)
    page, results = leave_grid(store.folder), read(store.folder)
    text = f"{_summary(results)}\nits page, for a browser: {page}\nthe matrix's folder: {store.folder}"
    common.say({"folder": store.folder, "results": results}, as_json=as_json, text=text)
    if {result.outcome for result in results} & {"failed", "timeout"}:
        raise SystemExit(FAILED)
    unknown = [result for result in results if not result.known]
    if len(unknown) == len(results) or any(result.cell.kernel not in without for result in unknown):
        raise SystemExit(UNKNOWN)


def bisect(
    size: Size,
    scenario: Scenario,
    good: Annotated[str, typer.Option(metavar="NAME", help="A kernel on which it passes.")],
    bad: Annotated[str, typer.Option(metavar="NAME", help="A kernel on which it does not; older or newer.")],
    kernel: Kernels = "all",
    seed: Seed = None,
    seeds: Seeds = 5,
    cc: Compiler = None,
    timeout: Timeout = TIMEOUT,
    workers: Workers = None,
    dask: Dask = "",
    as_json: AsJson = False,
) -> None:
    """Find the release in which a scenario's outcome changes, with few builds.

    Each release that it looks at is tried with N seeds: one that passes only sometimes counts as bad, and is told.
    """
    from lab.matrix import MatrixPlan, ResultStore
    from lab.matrix.bisect import bisect as search
    from lab.matrix.bisect import check
    from lab.matrix.page import leave_pair
    from lab.matrix.trees import missing
    from lab.report.folder import new_run

    settings = Settings.from_environment()
    _check_cluster(dask, workers)
    among = _selected(kernel, settings)
    check(among, good, bad)
    plan = MatrixPlan(
        kernels=tuple(among),
        scenarios=_scenarios([scenario]),
        seeds=_seeds(seed, seeds),
        timeout=timeout,
        samples=True,
        cc=cc,
        **{name: (value,) for name, value in size.given.items()},
    )
    without = missing(among, settings)
    _tell_missing(without)
    with (
        _executor(settings, workers, dask) as start,
        ResultStore.begin(new_run(settings.runs, "bisect"), plan) as store,
    ):

        def probe(kernel: str) -> list[CellResult]:
            cells = [cell for cell in plan.cells() if cell.kernel == kernel]
            start(store, lambda result: _note(_line(result))).work(cells, without)
            return [store.results[cell] for cell in cells]

        turn = search(scenario, among, good, bad, probe)
        page = leave_pair(store.folder, turn)
    _tell_missing(without)
    tried = "\n".join(f"  {finding}" for finding in turn.tried)
    text = f"{turn}\n{tried}\nits page, for a browser: {page}"
    common.say({"says": str(turn), "folder": store.folder, "turn": turn}, as_json=as_json, text=text)


def _check_cluster(dask: str, workers: int | None) -> None:
    """Raise a UsageError, before anything is begun, if there can be no such cluster."""
    if dask:
        from lab.matrix.connect import LOCAL, check

        check()
        if workers is not None and dask != LOCAL:
            raise UsageError("--workers is for this host", hint="a cluster has the workers that were started for it")


@contextmanager
def _executor(settings: Settings, workers: int | None, dask: str) -> Iterator[Start]:
    """Give what makes an executor for a store: this process's own, or one that works on a cluster."""
    from lab.matrix import LocalExecutor

    if not dask:
        yield lambda store, tell: LocalExecutor(store, _workers(workers), tell)
        return
    from lab.matrix.cluster import ClusterExecutor
    from lab.matrix.connect import connected

    with connected(dask, _workers(workers)) as client:
        if not client.nthreads():
            _note("the cluster has no worker yet")
        yield lambda store, tell: ClusterExecutor(store, client, settings, tell)


def _workers(asked: int | None) -> int:
    return asked or len(os.sched_getaffinity(0))


def _selected(expression: str, settings: Settings) -> list[str]:
    from lab.matrix import select
    from lab.source import known

    return select(expression, known(settings))


def _scenarios(wanted: Sequence[str]) -> tuple[str, ...]:
    from lab.scenario import runner

    runner.paths(wanted)
    return tuple(_absolute(name) if Path(name.partition("::")[0]).exists() else name for name in wanted)


def _absolute(test: str) -> str:
    """Name a user's own test so that the matrix can be resumed from another folder."""
    path, colons, rest = test.partition("::")
    return f"{Path(path).absolute()}{colons}{rest}"


def _given(context: typer.Context) -> set[str]:
    """Return the names of the parameters that are on the command line."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return {name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"}


def _numbers(option: str, text: str, allowed: range) -> tuple[int, ...]:
    words = [word.strip() for word in text.split(",")] if text else []
    if not all(word.isdecimal() and int(word) in allowed for word in words):
        hint = f"numbers from {allowed[0]} to {allowed[-1]}, with commas: {option} {allowed[0]},{allowed[-1]}"
        raise UsageError(f"{option} {text!r}", hint=hint)
    return tuple(int(word) for word in words)


def _seeds(first: int | None, count: int) -> tuple[int, ...]:
    """Return the seeds from one on; from 1, so that two matrices are alike, if none was given."""
    first = 1 if first is None else first
    return tuple(range(first, first + count))


def _note(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201


def _tell_missing(without: dict[str, str]) -> None:
    for kernel, why in without.items():
        _note(f"{kernel}: left out: {why}")


def _line(result: CellResult) -> str:
    cell: Cell = result.cell
    place = f"{cell.kernel:<17} {cell.scenario:<14} {cell.cpus} CPU {cell.ram_mib} MiB seed {cell.seed}"
    return f"{place}  {result.outcome} {result.seconds:.1f} s  {result.reason}".rstrip()


def _summary(results: Sequence[CellResult]) -> str:
    counted = Counter(result.outcome for result in results)
    return ", ".join(f"{number} {outcome}" for outcome, number in counted.most_common()) or "nothing was tried"
