"""What is done for a kernel and for a cell, each in a process of its own."""

from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path

import msgspec

from lab import journal
from lab.errors import CompileError
from lab.matrix.book import Plan, Result
from lab.matrix.cells import Cell
from lab.matrix.child import complaint, lab
from lab.report.grid import Outcome

BUILD_SECONDS = 1800.0
_KERNEL_CODES = range(3, CompileError.exit_code + 2)  # source, port, configuration, compiler, audit


class _Counts(msgspec.Struct):
    passed: int
    failed: int
    errors: int
    skipped: int
    error: str


class _Run(msgspec.Struct):
    outcome: _Counts


class Trouble(msgspec.Struct, frozen=True):
    """Why a kernel's cells cannot be tried."""

    outcome: Outcome
    reason: str


def build(kernel: str, variant: str, folder: Path, stop: threading.Event) -> Trouble | None:
    """Build a kernel into the cache, and say what became of it if there is none."""
    log = folder / "builds" / f"{kernel}-{variant}.log"
    arguments = ["build", kernel, *(["--smp"] if variant == "smp" else [])]
    code = lab(arguments, log=log, budget=BUILD_SECONDS, stop=stop, environment={})
    if code == 0:
        return None
    if code is None:
        return Trouble("error", f"its build took more than {BUILD_SECONDS:.0f} s")
    what = complaint(log) or f"its build ended with {code}"
    return Trouble("impossible" if code in _KERNEL_CODES else "error", what)


def attempt(cell: Cell, folder: Path, plan: Plan, stop: threading.Event) -> Result:
    """Run a cell's scenario; the run's folder is below `folder`/cells."""
    place, begin = folder / "cells" / cell.name, time.monotonic()
    log, before = place / "output.log", _runs(place)
    arguments = ["run", *cell.arguments, "--workers=1", "--json", *(["--samples"] if plan.samples else [])]
    code = lab(arguments, log=log, budget=plan.budget, stop=stop, environment={"KVMD_LAB_RUNS": str(place)})
    seconds = round(time.monotonic() - begin, 3)
    runs = sorted(_runs(place) - before)
    run = str(runs[-1].relative_to(folder)) if runs else ""
    if code is None:
        why = f"no end within {plan.budget:.0f} s"
        return Result(cell=cell, outcome="timeout", seconds=seconds, reason=why, run=run)
    outcome, reason = _verdict(runs[-1]) if runs else ("error", "")
    if outcome != "passed" and not reason:
        reason = complaint(log) or f"it ended with {code}"
    return Result(cell=cell, outcome=outcome, seconds=seconds, reason=reason, run=run)


def _runs(place: Path) -> set[Path]:
    return {path for path in place.glob("*-run*") if path.is_dir()}


def _verdict(run: Path) -> tuple[Outcome, str]:
    """Return what a run came to, and why it was not more."""
    try:
        counts = msgspec.json.decode((run / "result.json").read_bytes(), type=_Run).outcome
    except (OSError, msgspec.MsgspecError):
        return "error", ""
    if counts.failed:
        return "failed", _why(run, "failed") or _first(counts.error)
    if counts.errors:
        return "error", _why(run, "error") or _first(counts.error)
    return ("passed", "") if counts.passed else ("skipped", _why(run, "skipped"))


def _why(run: Path, verdict: str) -> str:
    """Return the reason that the journal gives for its first outcome of a kind."""
    with contextlib.suppress(OSError):
        for event in journal.read(run / "journal.jsonl"):
            if event["kind"] == "outcome" and event.get("verdict") == verdict and event.get("why"):
                return _first(str(event["why"]))
    return ""


def _first(text: str) -> str:
    return text.strip().partition("\n")[0]
