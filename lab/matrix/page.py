"""The pages of a matrix and of a bisection, in their folders, where their runs can be found from."""

from __future__ import annotations

from pathlib import Path

from lab.matrix.bisect import Finding, Turn
from lab.matrix.store import read
from lab.report.grid import grid
from lab.report.html import grid_page, leave, pair_page, write
from lab.report.journals import load
from lab.report.view import view


def leave_grid(folder: Path) -> Path:
    """Write the page of the matrix in `folder`, and that of each of its runs that has none; return where it is."""
    results = read(folder)
    for run in {result.run for result in results if result.run}:
        leave_run(folder / run)
    written = folder / "grid.html"
    write(written, grid_page(grid([result.shown for result in results])))
    return written


def leave_run(run: Path) -> None:
    """Write the page of a run that has none; nothing can be said of one without a journal."""
    if (run / "journal.jsonl").is_file() and not (run / "report.html").exists():
        leave(run)


def leave_pair(folder: Path, turn: Turn) -> Path:
    """Write the page of the bisection in `folder`, with a run on each side; return where it is."""
    sides = []
    for finding in (turn.before, turn.after):
        run = _typical(folder, finding)
        if run is not None:
            sides.append((finding.kernel, view(load(run), run.name)))
    written = folder / "bisect.html"
    write(written, pair_page(turn.sentence, turn.notes, [str(finding) for finding in turn.tried], sides))
    return written


def _typical(folder: Path, finding: Finding) -> Path | None:
    """Return the run that shows a release's verdict: a pass of one that passes, anything else of one that does not."""
    runs = [(one.outcome == "passed", folder / one.run) for one in finding.results if one.run]
    fitting = [run for passed, run in runs if passed == (finding.verdict == "passes")]
    return next((run for run in fitting if (run / "journal.jsonl").is_file()), None)
