"""The journal of a run: one JSON object a line, from which every view is made.

Each line has `t` (host seconds since the journal was opened), `kind`, and the kind's own fields. Kinds in use:

    run         repeat (the command line), began (the host's clock)
    stage       name, phase ("begin" | "end" | "fail"), seconds, detail
    progress    name, done, total (units of the stage; total may be null)
    command     argv, cwd, seconds, returncode
    note        text
    console     line
    fault       what, text, eip, process, trace: what the console told of, decoded
    agent       op, task, seconds, status; command (an ioctl's number) of those that have one
    qmp         event, data / command, seconds
    machine     test, cpus, ram_mib, swap_mib: what the test gets
    sample      source, guest (seconds of the guest's clock), and the figures that were sampled
    check       what, passed, expected, actual; of a test's assert that did not hold: what, passed, line
    outcome     test, says, phase, outcome, seconds; verdict, why and trace of those that did not pass
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from lab import jsonlines
from lab.host_trouble import host_trouble

Listener = Callable[[dict[str, Any]], None]


class Journal:
    """Writes events to a JSONL file (or nowhere) and hands each to the listeners; safe to use from any thread."""

    def __init__(self, path: Path | None = None, *, start: float | None = None) -> None:
        """Open `path` for appending; without one the events reach only the listeners.

        `start` is the `start` of another journal, maybe of another process, whose times this one's shall go with.
        """
        self.path = path
        self.start = time.monotonic() if start is None else start
        self._listeners: list[Listener] = []
        self._lock = threading.Lock()
        self._encode = msgspec.json.Encoder(enc_hook=str).encode
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            jsonlines.mend(path)
        self._file = None if path is None else path.open("ab", buffering=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; later events reach only the listeners."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None

    def listen(self, listener: Listener) -> None:
        """Call `listener` with every event from now on, in the thread that records it."""
        self._listeners.append(listener)

    def record(self, kind: str, **fields: Any) -> None:
        """Record one event; HostError: the file cannot be written. The listeners hear of it all the same."""
        self.add({"t": round(time.monotonic() - self.start, 6), "kind": kind, **fields})

    def add(self, event: dict[str, Any]) -> None:
        """Record an event that has its time already: another journal's."""
        try:
            with self._lock, host_trouble(f"writing {self.path}"):
                if self._file is not None:
                    jsonlines.append(self._file, self._encode(event))
        finally:
            for listener in self._listeners:
                listener(event)

    @contextmanager
    def stage(self, name: str, detail: str = "") -> Iterator[None]:
        """Record a stage's beginning and its end with the duration, or its failure with the error's first line."""
        begin = time.monotonic()
        self.record("stage", name=name, phase="begin", detail=detail)
        try:
            yield
        except BaseException as error:
            first = (str(error) or type(error).__name__).splitlines()[0]
            self.record("stage", name=name, phase="fail", seconds=time.monotonic() - begin, detail=first)
            raise
        self.record("stage", name=name, phase="end", seconds=time.monotonic() - begin, detail=detail)


def read(path: Path) -> list[dict[str, Any]]:
    """Read a journal back; a last line that was cut off is left out, in the place of a broken one is a note of it."""
    events: list[dict[str, Any]] = []
    for number, line in jsonlines.lines(path):
        try:
            events.append(msgspec.json.decode(line, type=dict[str, Any]))
        except msgspec.MsgspecError:
            before = events[-1]["t"] if events else 0.0
            events.append({"t": before, "kind": "note", "text": f"line {number} of the journal is broken"})
    return events
