"""The console's bytes, turned into lines: logged, and watched for the texts of a dying kernel that oops.py knows."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from lab.errors import LabError, SubjectError
from lab.host_trouble import host_trouble
from lab.journal import Journal
from lab.machine import oops
from lab.machine.symbols import Symbols
from lab.machine.watch import Watch

QUIET_SECONDS = 0.25  # a fault's report is whole when the console says nothing for so long,
CLOSED_SECONDS = 0.05  # or for so long after a line that usually ends one (a panic may follow an oops),
LONGEST_SECONDS = 2.0  # or so long after it began


class Timer(Protocol):
    """What `call_later` returns."""

    def cancel(self) -> object:
        """Don't call."""


class Console:
    """The lines of one boot, or since the last restore. `feed` and `finish` belong to the loop's thread."""

    def __init__(
        self,
        watch: Watch,
        journal: Journal,
        symbols: Symbols,
        later: Callable[[float, Callable[[], None]], Timer],
        log: Path | None = None,
    ) -> None:
        """`later(seconds, function)` calls a function after some time; `log` is appended to."""
        self.log = log
        self._watch = watch
        self._journal = journal
        self._symbols = symbols
        self._later = later
        self._lines: list[str] = []
        self._partial = b""
        self._report: oops.Report | None = None
        self._quiet: Timer | None = None
        self._longest: Timer | None = None
        if log is not None:
            log.parent.mkdir(parents=True, exist_ok=True)
        self._file = None if log is None else log.open("ab", buffering=0)

    @property
    def lines(self) -> tuple[str, ...]:
        """The whole lines so far."""
        return tuple(self._lines)

    def tail(self, count: int = 12) -> list[str]:
        """Return the last lines for an error's text, which would otherwise show those of an earlier boot in the log."""
        return self._lines[-count:] or ["(the console has said nothing)"]

    @property
    def report(self) -> oops.Report | None:
        """The fault that the console has told of, decoded."""
        return self._report

    def wait_for(self, pattern: str, deadline: float = 10.0) -> str:
        """Return the first line, since boot or restore, that contains the regular expression.

        A SubjectError after `deadline` seconds of the guest's own time; a fault or QEMU's end is raised instead.
        """
        wanted = re.compile(pattern)
        seen = 0

        def ready() -> str | None:
            nonlocal seen
            fresh, seen = self._lines[seen:], len(self._lines)
            return next((line for line in fresh if wanted.search(line)), None)

        end = self._watch.deadline(deadline)
        found = self._watch.wait(ready, end)
        if found is None:
            raise SubjectError(f"no line with {pattern!r} on the console within {end}", seen=self.tail(), log=self.log)
        return found

    def feed(self, data: bytes) -> None:
        """Take bytes from the console.

        A fault is looked for first: on a full disk, which is a verdict as well, the kernel's own is still the first.
        """
        *whole, self._partial = (self._partial + data).split(b"\n")
        lines = [self._add(raw) for raw in whole]
        if whole:
            self._watch.notify()
        self._write(data)
        for line in lines:
            self._note("console", line=line)

    def finish(self) -> None:
        """Take the end of the console: a line without an end is a line, and a report is whole."""
        if self._partial:
            self._note("console", line=self._add(self._partial))
            self._partial = b""
        if self._quiet is not None:
            self._ripe()

    def rewind(self, note: str) -> None:
        """Forget lines and fault, since the guest was put back to an earlier time."""
        self._lines = []
        self._partial = b""
        self._report = None
        self._stop_timers()
        self.mark(note)

    def mark(self, note: str) -> None:
        """Write a line of the lab's own into the log and the journal."""
        self._write(f"--- {note} ---\n".encode())
        self._note("note", text=note)

    def close(self) -> None:
        """Close the log."""
        self._stop_timers()
        if self._file is not None:
            self._file.close()
            self._file = None

    def _add(self, raw: bytes) -> str:
        """Take a line, look for a fault in it, and return it."""
        line = raw.decode(errors="replace").replace("\r", "").replace("\0", "")
        self._lines.append(line)
        if self._quiet is None and self._report is None and oops.death(line):
            self._watch.expect()
            self._longest = self._later(LONGEST_SECONDS, self._ripe)
            self._quiet = self._later(QUIET_SECONDS, self._ripe)
        elif self._quiet is not None:
            self._quiet.cancel()
            self._quiet = self._later(CLOSED_SECONDS if oops.closes(line) else QUIET_SECONDS, self._ripe)
        return line

    def _ripe(self) -> None:
        self._stop_timers()
        self._report = oops.report(self._lines, self._symbols)
        if self._report is not None:
            self._note("fault", **self._report.told())
        self._watch.fail(self._error)

    def _write(self, data: bytes) -> None:
        """Append to the log."""
        try:
            with host_trouble(f"writing {self.log}"):
                left = memoryview(data)
                while left and self._file is not None:
                    left = left[self._file.write(left) or 0 :]
        except (OSError, LabError) as error:
            self._lost(error)

    def _note(self, kind: str, **fields: object) -> None:
        """Record in the journal."""
        try:
            self._journal.record(kind, **fields)
        except (OSError, LabError) as error:
            self._lost(error)

    def _lost(self, error: OSError | LabError) -> None:
        """Take it that what the console said is not kept; if it told of a fault, that is what is to be known."""
        if self._quiet is None and self._report is None:
            self._watch.stumble(error)

    def _error(self) -> SubjectError:
        assert self._report is not None
        return oops.ConsoleFault(self._report, log=self.log)

    def _stop_timers(self) -> None:
        for timer in (self._quiet, self._longest):
            if timer is not None:
                timer.cancel()
        self._quiet = self._longest = None
