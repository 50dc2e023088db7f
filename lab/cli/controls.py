"""The sub-command that tries the suite itself: controls."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from lab.cli import common
from lab.cli.common import AsJson, Changed, Compiler, Cpus, KernelName, TreePath

HOLE = 1


def register(app: typer.Typer) -> None:
    """Add the sub-command."""
    app.command()(controls)


def controls(
    only: Annotated[list[str] | None, typer.Option("--only", metavar="ID", help="Only this one; repeatable.")] = None,
    kernel: KernelName = None,
    tree: TreePath = None,
    cc: Compiler = None,
    cpus: Cpus = None,
    workers: Annotated[int, typer.Option(metavar="N", help="Scenarios that run at once.")] = 2,
    patience: Annotated[int | None, typer.Option(metavar="S", help="Longest wait for an answer of the guest.")] = None,
    accept_changed: Changed = False,
    listing: Annotated[bool, typer.Option("--list", help="List the controls, and what each does.")] = False,
    as_json: AsJson = False,
) -> None:
    """Put known defects back into kvmd, one at a time: each must fail in the scenario that it names."""
    from lab.controls.table import load, select

    chosen = select(load(), only or ())
    if listing:
        text = "\n".join(f"{one.id}  [{', '.join(one.defects)}]  {one.scenario}\n    {one.does}" for one in chosen)
        common.say(chosen, as_json=as_json, text=text)
        return
    from lab.controls.hunt import Trials, Verdict, hunt, printed
    from lab.report.folder import new_run
    from lab.settings import Settings

    def tell(verdict: Verdict) -> None:
        line = f"{verdict.control}: {verdict.result} in {verdict.seconds:.1f} s; {verdict.said}"
        print(line, file=sys.stderr, flush=True)  # noqa: T201

    folder = new_run(Settings.from_environment().runs, "controls")
    with common.bench(common.subject(kernel, tree, cc=cc, accept_changed=accept_changed), quiet=True) as bench:
        machine = bench.spec(**common.dimensions(cpus, None, None))
        processors = machine.cpus
        shown = [one for one in chosen if one.shows_on(bench.tree().version, processors)]
        trials = Trials(bench, processors, folder, workers=workers, patience=patience, today=machine.today)
        verdicts = hunt(shown, trials, tell)
    common.say(verdicts, as_json=as_json, text=f"{printed(verdicts)}\nthe runs' folders: {folder}")
    if not all(verdict.good for verdict in verdicts):
        raise SystemExit(HOLE)
