"""A run from beginning to end: its folder, its journal, its views, its scenarios."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec

from lab.journal import Journal
from lab.report.folder import new_run
from lab.scenario import runner
from lab.scenario.subject import Subject
from lab.settings import Settings


class Result(msgspec.Struct, frozen=True):
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
    workers: int | None = 1,
    bare: bool = False,
) -> Result:
    """Run scenarios into a new folder.

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
        outcome = runner.run(subject, wanted, journal, folder, options=[*quiet, *options], workers=workers, bare=bare)
        counts = f"{outcome.passed} passed, {outcome.failed} failed, {outcome.errors} errors"
        journal.record("note", text=f"{outcome.error}\n\n{counts}" if outcome.error else counts)
    result = Result(folder, outcome, repeat)
    (folder / "result.json").write_bytes(msgspec.json.format(msgspec.json.encode(result, enc_hook=str)))
    return result
