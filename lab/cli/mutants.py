"""The sub-command that tries the suite itself: mutants."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from lab.cli import common
from lab.cli.options import AsJson, Compiler, Cpus, Listing, Mutants, Size, Source, Workers, expand

HOLE = 1


def register(app: typer.Typer) -> None:
    """Add the sub-command."""
    app.command()(expand(mutants))


def mutants(
    source: Source,
    mutant: Mutants = None,
    cc: Compiler = None,
    cpus: Cpus = None,
    workers: Workers = 2,
    answer_timeout: Annotated[
        int | None, typer.Option(min=1, metavar="S", help="Longest wait for an answer of the guest, in its seconds.")
    ] = None,
    listing: Listing = False,
    as_json: AsJson = False,
) -> None:
    """Put known defects back into kvmd, one at a time: each must fail in the scenario that it names."""
    from lab.mutants.table import load, select

    chosen = select(load(), mutant or ())
    if listing:
        text = "\n".join(f"{one.id}  [{', '.join(one.defects)}]  {one.scenario}\n    {one.does}" for one in chosen)
        common.say(chosen, as_json=as_json, text=text)
        return
    from lab.mutants.hunt import Judgement, Trials, hunt, printed
    from lab.report.folder import new_run
    from lab.settings import Settings

    def tell(verdict: Judgement) -> None:
        line = f"{verdict.mutant}: {verdict.result} in {verdict.seconds:.1f} s; {verdict.said}"
        print(line, file=sys.stderr, flush=True)  # noqa: T201

    folder = new_run(Settings.from_environment().runs, "mutants")
    with common.bench(source.subject(cc=cc), quiet=True) as bench:
        machine = bench.spec(**Size(cpus=cpus).given)
        processors = machine.cpus
        shown = [one for one in chosen if one.shows_on(bench.tree().version, processors)]
        trials = Trials(bench, processors, folder, workers=workers or 1, patience=answer_timeout, today=machine.today)
        verdicts = hunt(shown, trials, tell)
    common.say(verdicts, as_json=as_json, text=f"{printed(verdicts)}\nthe runs' folders: {folder}")
    if not all(verdict.good for verdict in verdicts):
        raise SystemExit(HOLE)
