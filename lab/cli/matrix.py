"""The sub-commands for many kernels at once: matrix, bisect."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lab.cli import common
from lab.cli.common import AsJson, DryRun
from lab.errors import UsageError

if TYPE_CHECKING:
    from lab.matrix import Cell, Result
    from lab.matrix.bisect import Turn

SCENARIOS = ("boot", "user_memory", "kvmd_regions")
KERNELS = "<2.5"
FAILED, UNKNOWN = 1, 8

Sizes = Annotated[str, typer.Option(metavar="N,N", help="Numbers with commas (default: what suits each kernel).")]


def register(app: typer.Typer) -> None:
    """Add the sub-commands."""
    app.command()(matrix)
    app.command()(bisect)


def matrix(
    context: typer.Context,
    scenario: Annotated[
        list[str] | None, typer.Argument(metavar="SCENARIO", help=f"Names (default: {' '.join(SCENARIOS)}).")
    ] = None,
    kernels: Annotated[
        str, typer.Option(metavar="EXPR", help="Which: names, patterns, ranges: '2.3.99-pre*,>=2.4.0-test9'.")
    ] = KERNELS,
    cpus: Sizes = "",
    ram: Sizes = "",
    swap: Sizes = "",
    seed: Annotated[int, typer.Option(metavar="N", help="Of the patterns.")] = 1,
    seeds: Annotated[int, typer.Option(min=1, metavar="N", help="Each cell with N seeds.")] = 1,
    budget: Annotated[float, typer.Option(min=1, metavar="S", help="Longest time of a cell, in seconds.")] = 120.0,
    workers: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Cells at once (default: one a core).")
    ] = None,
    resume: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Go on with one that was stopped.")] = None,
    as_json: AsJson = False,
    dry_run: DryRun = False,
) -> None:
    """Run scenarios on many kernels and machines; each result is a line of FOLDER/results.jsonl as soon as it is there.

    A cell that fails stops nothing. What has no tree at hand is told before and after. Stop it with Ctrl-C, and go on
    with --resume.
    """
    from lab.matrix import Book, Crew, Plan, read
    from lab.matrix.trees import known, missing
    from lab.report.folder import new_run
    from lab.report.html import leave_grid
    from lab.settings import Settings

    settings = Settings.from_environment()
    if resume is not None and _given(context) - {"resume", "workers", "as_json", "dry_run"}:
        raise UsageError("--resume goes on with what was asked for then", hint="only --workers, --json and --dry-run")
    if resume is None:
        plan = Plan(
            kernels=tuple(_selected(kernels, known(settings))),
            scenarios=_scenarios(scenario or SCENARIOS),
            cpus=_numbers("--cpus", cpus),
            ram_mib=_numbers("--ram", ram),
            swap_mib=_numbers("--swap", swap),
            seeds=tuple(range(seed, seed + seeds)),
            budget=budget,
        )
        wanted = plan.cells()
        if dry_run:
            common.say(wanted, as_json=as_json, text="\n".join(cell.name for cell in wanted))
            return
        book = Book.begin(new_run(settings.runs, "matrix"), plan)
    else:
        book = Book.resume(resume)
        wanted = book.open_cells()
        if dry_run:
            common.say(wanted, as_json=as_json, text="\n".join(cell.name for cell in wanted))
            return
    without = missing(dict.fromkeys(cell.kernel for cell in wanted), settings)
    _tell_missing(without)
    known_now = sum(result.known for result in book.results.values())
    _note(f"{len(wanted)} cells to try, {known_now} known; {book.folder}")
    count = Counter[str]()

    def tell(result: Result) -> None:
        count["done"] += 1
        _note(f"[{count['done']}/{len(wanted)}] {_line(result)}")

    try:
        Crew(book, workers or len(os.sched_getaffinity(0)), tell).work(wanted, without)
    finally:
        _tell_missing(without)
    page = leave_grid(book.folder)
    results = read(book.folder)
    text = f"{_summary(results)}\nits page, for a browser: {page}\nthe matrix's folder: {book.folder}"
    common.say({"folder": book.folder, "results": results}, as_json=as_json, text=text)
    bad = {result.outcome for result in results}
    if bad & {"failed", "timeout"}:
        raise SystemExit(FAILED)
    unknown = [result for result in results if not result.known]
    if len(unknown) == len(results) or any(result.cell.kernel not in without for result in unknown):
        raise SystemExit(UNKNOWN)


def bisect(
    scenario: Annotated[str, typer.Option(metavar="S", help="The scenario's name.")],
    good: Annotated[str, typer.Option(metavar="KERNEL", help="One on which it passes.")],
    bad: Annotated[str, typer.Option(metavar="KERNEL", help="One on which it does not; older or newer.")],
    kernels: Annotated[str, typer.Option(metavar="EXPR", help="Among which, as for matrix.")] = "all",
    repeat: Annotated[int, typer.Option(min=1, metavar="N", help="Tries of each kernel, with a seed each.")] = 5,
    seed: Annotated[int, typer.Option(metavar="N", help="The first seed.")] = 1,
    cpus: common.Cpus = None,
    ram: common.Ram = None,
    swap: common.Swap = None,
    budget: Annotated[float, typer.Option(min=1, metavar="S", help="Longest time of a try, in seconds.")] = 120.0,
    workers: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Tries at once (default: one a core).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Find the release in which a scenario's outcome changes, with few builds.

    Each release that it looks at is tried N times: one that passes only sometimes counts as bad, and is told.
    """
    from lab.matrix import Book, Crew, Plan
    from lab.matrix.bisect import bisect as search
    from lab.matrix.bisect import check
    from lab.matrix.trees import known, missing
    from lab.report.folder import new_run
    from lab.settings import Settings

    settings = Settings.from_environment()
    among = _selected(kernels, known(settings))
    check(among, good, bad)
    without = missing(among, settings)
    _tell_missing(without)
    plan = Plan(
        kernels=tuple(among),
        scenarios=_scenarios([scenario]),
        cpus=() if cpus is None else (cpus,),
        ram_mib=() if ram is None else (ram,),
        swap_mib=() if swap is None else (swap,),
        seeds=tuple(range(seed, seed + repeat)),
        budget=budget,
        samples=True,
    )
    folder = new_run(settings.runs, "bisect")
    book = Book.begin(folder, plan)

    def probe(kernel: str) -> list[Result]:
        cells = [cell for cell in plan.cells() if cell.kernel == kernel]
        Crew(book, workers or len(os.sched_getaffinity(0)), lambda one: _note(_line(one))).work(cells, without)
        return [book.results[cell] for cell in cells]

    turn = search(scenario, among, good, bad, probe)
    _tell_missing(without)
    page = _leave_pair(turn, folder)
    tried = "\n".join(f"  {finding}" for finding in turn.tried)
    text = f"{turn}\n{tried}\nits page, for a browser: {page}"
    common.say({"says": str(turn), "folder": folder, "turn": turn}, as_json=as_json, text=text)


def _leave_pair(turn: Turn, folder: Path) -> Path:
    """Leave the page of a bisection, with the run on each side that shows it best."""
    from lab.report.html import pair_page, write

    sides = []
    for finding in (turn.before, turn.after):
        shown = [one for one in finding.results if one.run and (folder / one.run / "journal.jsonl").is_file()]
        shown.sort(key=lambda one: (one.outcome == "passed") == (finding.verdict != "passes"))
        sides += [(finding.kernel, folder / one.run) for one in shown[:1]]
    page = folder / "bisect.html"
    write(page, pair_page(str(turn), [str(finding) for finding in turn.tried], sides))
    return page


def _selected(expression: str, names: Sequence[str]) -> list[str]:
    from lab.matrix import select

    return select(expression, names)


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


def _numbers(option: str, text: str) -> tuple[int, ...]:
    words = [word.strip() for word in text.split(",")] if text else []
    if not all(word.isdecimal() for word in words):
        raise UsageError(f"{option} {text!r}", hint=f"numbers with commas: {option} 1,2")
    return tuple(int(word) for word in words)


def _note(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201


def _tell_missing(without: dict[str, str]) -> None:
    for kernel, why in without.items():
        _note(f"{kernel}: left out: {why}")


def _line(result: Result) -> str:
    cell: Cell = result.cell
    place = f"{cell.kernel:<17} {cell.scenario:<14} {cell.cpus} CPU {cell.ram_mib} MiB seed {cell.seed}"
    return f"{place}  {result.outcome} {result.seconds:.1f} s  {result.reason}".rstrip()


def _summary(results: Sequence[Result]) -> str:
    counted = Counter(result.outcome for result in results)
    return ", ".join(f"{number} {outcome}" for outcome, number in counted.most_common()) or "nothing was tried"
