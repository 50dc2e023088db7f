"""What is done for a kernel and for a cell, each in a process of its own."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from lab import journal
from lab.child import Child
from lab.errors import CompileError, LabError
from lab.matrix.cells import Cell
from lab.matrix.store import CellResult, MatrixPlan
from lab.report.grid import Outcome

BUILD_SECONDS = 1800.0
_LOOK_SECONDS = 0.05
KERNEL_CODES = range(3, CompileError.exit_code + 2)  # source, port, configuration, compiler, audit


class _Counts(msgspec.Struct):
    passed: int
    failed: int
    errors: int
    skipped: int
    error: str


class _Run(msgspec.Struct):
    outcome: _Counts


class Stop(Protocol):
    """What tells that everything is to end: a threading.Event, or what is like one."""

    def is_set(self) -> bool:
        """Whether to end."""


class Stopped(LabError):
    """Somebody wants everything to end."""


class Trouble(msgspec.Struct, frozen=True):
    """Why a kernel's cells cannot be tried."""

    outcome: Outcome
    reason: str


def build(kernel: str, variant: str, folder: Path, stop: Stop, options: Sequence[str] = ()) -> Trouble | None:
    """Build a kernel into the cache, and say what became of it if there is none; `options` are more of its options."""
    log = folder / "builds" / f"{kernel}-{variant}.log"
    arguments = ["build", f"--kernel={kernel}", f"--cpus={2 if variant == 'smp' else 1}", *options]
    code, complaint = _call(arguments, log, {}, BUILD_SECONDS, stop)
    if code == 0:
        return None
    if code is None:
        return Trouble("error", f"its build took more than {BUILD_SECONDS:g} s")
    what = complaint or f"its build ended with {code}"
    return Trouble("impossible" if code in KERNEL_CODES else "error", what)


def attempt(cell: Cell, folder: Path, plan: MatrixPlan, stop: Stop, options: Sequence[str] = ()) -> CellResult:
    """Run a cell's scenario; its folder, with a page, is below `folder`/cells. `options` are more of its options."""
    from lab.matrix.page import leave_run  # takes a while

    place, begin = folder / "cells" / cell.name, time.monotonic()
    log, before = place / "output.log", _runs(place)
    arguments = ["run", *cell.arguments, "--workers=1", "--json", *options]
    arguments += ["--samples"] * plan.samples
    code, complaint = _call(arguments, log, {"KVMD_LAB_RUNS": str(place)}, plan.timeout, stop)
    seconds = round(time.monotonic() - begin, 3)
    runs = sorted(_runs(place) - before)
    run = str(runs[-1].relative_to(folder)) if runs else ""
    with contextlib.suppress(Exception):  # the result counts; who makes the grid's page tries again, and is told
        if runs:
            leave_run(runs[-1])
    if code is None:
        why = f"no end within {plan.timeout:g} s"
        return CellResult(cell=cell, outcome="timeout", seconds=seconds, reason=why, run=run)
    outcome, reason = _verdict(runs[-1]) if runs else ("error", "")
    if outcome != "passed" and not reason:
        reason = complaint or f"it ended with {code}"
    return CellResult(cell=cell, outcome=outcome, seconds=seconds, reason=reason, run=run)


def _call(
    arguments: Sequence[str], log: Path, environment: Mapping[str, str], timeout: float, stop: Stop
) -> tuple[int | None, str]:
    """Return the exit code of a child, None if it took longer than `timeout` seconds, and what it complained of."""
    end = time.monotonic() + timeout
    with Child(arguments, log, environment) as child:
        while not child.ended and time.monotonic() < end:
            child.wait(_LOOK_SECONDS)
            if stop.is_set():
                raise Stopped("stopped")
        in_time = child.ended
    return child.child.returncode if in_time else None, child.complaint()


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
