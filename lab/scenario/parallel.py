"""Several pytest processes side by side, by pytest-xdist: what each must know, and what each leaves behind.

A process has a folder of its own in the run's while it works (gw0, gw1, ...) with its journal and its machines' console
logs. At the end its events go into the run's journal, each with the name of the process.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from lab.journal import Journal, read
from lab.scenario.subject import Subject

KEY = "kvmd_lab"


class WorkerTask(msgspec.Struct, frozen=True):
    """What a process gets: the run's folder, what is to be tested, and when the run's journal began."""

    run: Path
    subject: Subject
    start: float


def choose(asked: int | None, scenarios: Sequence[str]) -> int:
    """Return how many processes to use: what was asked for, or one a core if there is more than one scenario."""
    if asked is not None:
        return asked
    several = len(scenarios) > 1 or any(Path(path.partition("::")[0]).is_dir() for path in scenarios)
    return len(os.sched_getaffinity(0)) if several else 1


def options(workers: int) -> list[str]:
    """Return pytest's options for so many processes; one needs none, since pytest itself does the work then."""
    if workers <= 1:
        return []
    return [f"--numprocesses={workers}", "--dist=worksteal", "--max-worker-restart=0"]


def pack(task: WorkerTask) -> str:
    """Turn a task into text, which can be sent to another process."""
    return msgspec.json.encode(task, enc_hook=str).decode()


def unpack(text: str) -> WorkerTask:
    """Turn the text back."""
    return msgspec.json.decode(text, type=WorkerTask, dec_hook=lambda kind, value: kind(value))


def gather(run: Path, journal: Journal) -> None:
    """Put the events of all processes into the run's journal, in the order of their times.

    Their own journals go when that is done. If it ends in the middle, some events stand in both.
    """
    events: list[dict[str, Any]] = []
    paths = sorted(run.glob("gw*/journal.jsonl"))
    for path in paths:
        events += [{**event, "worker": path.parent.name} for event in read(path)]
    for event in sorted(events, key=lambda event: float(event["t"])):
        journal.add(event)
    for path in paths:
        path.unlink()
