"""Sub-commands around the work: doctor, report, clean."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lab.cli import common
from lab.cli.options import AsJson, DryRun, Output, expand


def register(app: typer.Typer) -> None:
    """Add the sub-commands."""
    for command in (doctor, report, clean):
        app.command()(expand(command))


def doctor(
    missing: Annotated[bool, typer.Option("--missing", help="Print only the names of the missing packages.")] = False,
    embedded: Annotated[
        bool, typer.Option("--embedded", help="Also what the distribution's own kernel source takes.")
    ] = False,
    browser: Annotated[
        bool, typer.Option("--browser", help="Also what only the tests need: a browser, an SSH server.")
    ] = False,
    serving: Annotated[bool, typer.Option("--serving", help="What a host needs that others use with --host.")] = False,
    command: Annotated[
        bool,
        typer.Option("--for", help="Only what a command needs, whose words follow behind --: its --tree, its kernel."),
    ] = False,
    words: Annotated[list[str] | None, typer.Argument(hidden=True)] = None,
    as_json: AsJson = False,
) -> None:
    """Say whether this host has all the tools, which versions the lab was tried with, and what to install."""
    from lab.cli.doctor import examine, remedies, subject_in, tell

    checks = examine(
        embedded=embedded or None,
        browser=browser,
        serving=serving,
        versions=not missing,
        subject=subject_in(words or ()) if command else None,
    )
    if missing:
        packages = sorted({check.package for check in checks if not check.found})
        common.say(packages, as_json=as_json, text=" ".join(packages))
        return
    todo = remedies(checks)
    lines = [*map(tell, checks), *([""] if todo else []), *todo]
    common.say(checks, as_json=as_json, text="\n".join(lines))
    if todo:
        raise SystemExit(8)


def report(
    run: Annotated[
        Path | None, typer.Argument(metavar="RUN", help="A run's folder, or a matrix's (default: the newest run).")
    ] = None,
    html: Annotated[bool, typer.Option("--html", help="Write a page, RUN/report.html, and print its path.")] = False,
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """Tell what a run did, from its journal: as lines, as one JSON value, or as a page for a browser."""
    from lab.errors import UsageError
    from lab.report import journals
    from lab.report.plain import line_of
    from lab.settings import Settings

    if as_json and (html or output):
        raise UsageError("--json and a page at once", hint="call it twice")
    folder = run or journals.latest(Settings.from_environment().runs)
    if (html or output) and (folder / "plan.json").is_file():
        from lab.matrix.page import leave_grid

        if output is not None:
            raise UsageError("a matrix's page belongs into its folder, where its cells lead to", hint="--html")
        print(leave_grid(folder))  # noqa: T201
        return
    if html or output:
        from lab.report.html import leave

        print(leave(folder, output))  # noqa: T201
        return
    events = journals.load(folder)
    if as_json:
        from lab.report.view import view

        common.say(view(events, folder.resolve().name), as_json=True)
        return
    common.say(None, as_json=False, text="\n".join(line for event in events if (line := line_of(event))))


def clean(
    everything: Annotated[
        bool, typer.Option("--all", help="Downloads, unpacked trees and what was first seen of a tree as well.")
    ] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Remove what the cache can make again: kernels, work trees, disks, snapshots. What is not the lab's stays."""
    from lab import cleaning
    from lab.settings import Settings

    root = Settings.from_environment().cache
    if dry_run or not root.is_dir():
        found = list(cleaning.things(root, everything=everything))
    else:
        found = cleaning.remove(root, everything=everything)
    sizes = [
        f"{thing.size / 2**20:8.1f} MiB  {thing.path}" for thing in found if not thing.path.name.startswith(".lock-")
    ]
    total = f"{sum(thing.size for thing in found) / 2**20:8.1f} MiB  {'would go' if dry_run else 'removed'}"
    common.say(found, as_json=as_json, text="\n".join([*sizes, total]))
