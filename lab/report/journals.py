"""The files of a run's folder, read back: what every view is made from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from lab.errors import UsageError
from lab.journal import read

Event = dict[str, Any]


def load(folder: Path) -> list[Event]:
    """Return the events of a run in the order of their times; UsageError: the folder holds no journal.

    The journals of a run's processes, which go into the run's own at its end, count already: a run may still go on, or
    may have been killed, also while they went there, when some events stand in both. Of a run from before the journal
    kept the command line, `result.json` knows it.
    """
    path = folder / "journal.jsonl"
    if not path.is_file():
        raise UsageError(f"{folder} holds no journal", hint="name the folder that `kvmd-lab run` printed")
    events = read(path)
    known = {_mark(event) for event in events if "worker" in event}
    for part in sorted(folder.glob("gw*/journal.jsonl")):
        found = [{**event, "worker": part.parent.name} for event in read(part)]
        events += [event for event in found if _mark(event) not in known]
    events.sort(key=lambda event: float(event["t"]))
    if not any(event["kind"] == "run" for event in events):
        repeat = _result(folder).get("repeat")
        events[:0] = [{"t": 0.0, "kind": "run", "repeat": repeat, "began": ""}] if repeat else []
    return events


def _mark(event: Event) -> tuple[Any, ...]:
    """Return what tells an event from the others of its process."""
    return event["worker"], event["t"], event["kind"]


def latest(runs: Path) -> Path:
    """Return the newest run's folder; UsageError: there is none."""
    found = max(runs.glob("*/journal.jsonl"), key=lambda path: path.stat().st_mtime_ns, default=None)
    if found is None:
        raise UsageError(f"there is no run below {runs}", hint="kvmd-lab run, or name a run's folder")
    return found.parent


def _result(folder: Path) -> dict[str, Any]:
    try:
        return dict(msgspec.json.decode((folder / "result.json").read_bytes()))
    except (OSError, msgspec.DecodeError, TypeError, ValueError):
        return {}
