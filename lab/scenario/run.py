"""A run from beginning to end: its folder, its journal, its views, its scenarios."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec

from lab.errors import LabError
from lab.journal import Journal
from lab.report.folder import new_run
from lab.scenario import runner
from lab.scenario.subject import Subject
from lab.scenario.workbench import Workbench
from lab.settings import Settings
from lab.source import Tree

BEFORE = "preparation"  # in the place of a scenario's name


class RunResult(msgspec.Struct, frozen=True):
    """Where a run's files are, how it went, and the command that repeats it."""

    folder: Path
    outcome: runner.Outcome
    repeat: str


def run_scenarios(
    subject: Subject,
    wanted: Sequence[str],
    options: Sequence[str],
    *,
    view: Literal["none", "pytest", "live"],
    size: Mapping[str, int] | None = None,
    workers: int | None = 1,
    bare: bool = False,
) -> RunResult:
    """Run scenarios into a new folder.

    With a `size`, the dimensions of a machine that were asked for, the kernel's source is got and the machine told
    before the first scenario, so that what is wrong with them is said once and not by every scenario.

    The view is pytest's own terminal, the live view (plain lines where there is no terminal), or none. `workers` and
    `bare` as for runner.run; with several processes the live view gets their events at the end.
    """
    folder = new_run(Settings.from_environment().runs)
    # a kernel that was built before is the one of that name, and its folder is perhaps on another machine
    words = [word for word in sys.argv[1:] if subject.name is None or not word.startswith("--built=")]
    repeat = shlex.join(["kvmd-lab", *words])
    with ExitStack() as stack:
        journal = stack.enter_context(Journal(folder / "journal.jsonl"))
        if view == "live":
            from lab.report.live import live_view

            stack.enter_context(live_view(journal, folder))
        # pytest must leave the file descriptors alone, or it would swallow the live view
        quiet = [] if view == "pytest" else ["-p", "no:terminal", "--capture=sys"]
        journal.record("run", repeat=repeat, began=datetime.now(UTC).isoformat(timespec="seconds"))
        try:
            tree = None if size is None else _prepared(subject, size, journal, tell=view == "pytest")
            outcome = runner.run(
                subject,
                wanted,
                journal,
                folder,
                options=[*quiet, *options],
                tree=tree,
                workers=workers,
                bare=bare,
            )
        except _Unprepared as error:
            outcome = error.outcome
        counts = f"{outcome.passed} passed, {outcome.failed} failed, {outcome.errors} errors"
        journal.record("note", text=f"{outcome.error}\n\n{counts}" if outcome.error else counts)
    result = RunResult(folder, outcome, repeat)
    (folder / "result.json").write_bytes(msgspec.json.format(msgspec.json.encode(result, enc_hook=str)))
    return result


class _Unprepared(Exception):
    def __init__(self, outcome: runner.Outcome) -> None:
        super().__init__(outcome.error)
        self.outcome = outcome


def _prepared(subject: Subject, size: Mapping[str, int], journal: Journal, *, tell: bool) -> Tree | None:
    """Return the kernel's tree, None for one that was built before, and say which kernel and machine it will be."""
    begin = time.monotonic()
    try:
        with Workbench(subject, Settings.from_environment(), journal) as bench:
            spec = bench.spec(**size)
            tree = None if subject.built else bench.tree()
    except LabError as error:
        if tell:
            print(f"kvmd-lab: {error}", file=sys.stderr)  # noqa: T201
        why = {"verdict": "error", "why": str(error)}
        journal.record("outcome", test=BEFORE, phase="setup", outcome="failed", seconds=time.monotonic() - begin, **why)
        broken = (runner.NotPassed(BEFORE, "error", str(error).partition("\n")[0]),)
        raise _Unprepared(
            runner.Outcome(
                passed=0, failed=0, errors=1, skipped=0, exit_code=error.exit_code, error=str(error), broken=broken
            )
        ) from error
    if tell:
        machine = f"{spec.cpus} CPU{'s' * (spec.cpus > 1)}, {spec.ram_mib} MiB, {spec.swap_mib} MiB of swap"
        print(f"kvmd-lab: Linux {bench.version} on {machine}", file=sys.stderr)  # noqa: T201
    return tree
