"""Sub-commands around the work: doctor, report, clean."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from lab.cli import common
from lab.cli.common import AsJson


def register(app: typer.Typer) -> None:
    """Add the sub-commands."""
    for command in (doctor, report, clean):
        app.command()(command)


def doctor(
    missing: Annotated[bool, typer.Option(help="Print only the names of the missing packages.")] = False,
    embedded: Annotated[bool, typer.Option(help="Also what the distribution's own kernel source takes.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say whether this host has all the tools, and what to install."""
    from lab.doctor import examine

    checks = examine(embedded=embedded or None)
    packages = sorted({check.package for check in checks if not check.found})
    if missing:
        common.say(packages, as_json=as_json, text=" ".join(packages))
        return
    lines = [f"{'ok' if check.found else 'MISSING':<8}{check.tool:<26}{check.detail}" for check in checks]
    if packages:
        lines.append(f"\ninstall what is missing: apt-get install --no-install-recommends {' '.join(packages)}")
    common.say(checks, as_json=as_json, text="\n".join(lines))
    if packages:
        raise SystemExit(8)


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")],
    as_json: AsJson = False,
) -> None:
    """Tell what a run did, from its journal."""
    from lab.errors import UsageError
    from lab.journal import read
    from lab.report.lines import line_of

    path = run / "journal.jsonl"
    if not path.is_file():
        raise UsageError(f"{run} holds no journal", hint="name the folder that `kvmd-lab run` printed")
    events = read(path)
    common.say(events, as_json=as_json, text="\n".join(line for event in events if (line := line_of(event))))


def clean(
    everything: Annotated[bool, typer.Option("--all", help="Downloads and unpacked trees as well.")] = False,
    dry_run: common.DryRun = False,
) -> None:
    """Remove what the cache can make again: kernels, work trees, disks, snapshots."""
    from lab.cache import host_trouble
    from lab.settings import Settings

    cache = Settings.from_environment().cache
    keep = set() if everything else {"tarballs", "trees", "source"}
    for folder in sorted(cache.iterdir()) if cache.is_dir() else ():
        if folder.name in keep:
            continue
        print(folder)  # noqa: T201
        if not dry_run:
            with host_trouble(f"removing {folder}"):
                shutil.rmtree(folder) if folder.is_dir() else folder.unlink()
