"""Deadlines in a guest's own time: the host's, less the time in which QEMU or the lab had no processor.

Linux books for each thread how long it ran, and how long it was ready to run and did not (/proc/PID/task/TID/schedstat;
CONFIG_SCHED_INFO, which distributions switch on). A guest that idles waits for its timers and not for a processor, so
that its time passes as the host's does; so does that of a QEMU that somebody stopped. On a busy host all wait, and that
time is nobody's. A wait is booked when it is over: as long as a thread is ready, and its books stand still from one
look to the next, no deadline passes. Where the kernel keeps no such books, a deadline counts the host's time.

Virtual time would be no measure: by instructions it is faster or slower than the host's, and flies where idle time is
skipped.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

from lab.errors import LabError

LONGEST = 20  # times the deadline: the host's time after which it has passed, whatever the guest got
NOTE_SECONDS = 0.2  # a wait that is over sooner costs no look into the books; all of this is the guest's own
SHORTEST = 0.01  # what is left and not worth another look
LOOK_SECONDS = 0.1  # between two looks: a thread that runs is booked at each of its kernel's ticks, 10 ms at most
HARDLY = 0.05  # of the time: what this process needs for its looks is less, a guest that gets anything gets more

Books = dict[str, tuple[int, int, bool]]
"""Nanoseconds that each thread ran, and that it waited for a processor; whether it is ready; by a name of its own."""


def books(pid: int) -> Books:
    """Return the books on all threads of a process; none of one that has ended."""
    found: Books = {}
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                state = (task / "stat").read_text().rpartition(")")[2].split()[0]
                ran, waited, _ = (task / "schedstat").read_text().split()
                found[task.name] = (int(ran), int(waited), state == "R")
    return found


def threads(pid: int) -> list[str]:
    """Return a line for each thread of a process: its name, its state, what it waits for and its books, in seconds."""
    lines, times = [], books(pid)
    for task in Path(f"/proc/{pid}/task").glob("*"):
        with contextlib.suppress(OSError, KeyError):
            name, _, rest = (task / "stat").read_text().partition("(")[2].rpartition(")")
            place = (task / "wchan").read_text().strip("0") or "-"
            ran, waited, _ = times[task.name]
            lines.append(f"{name} {rest.split()[0]} {place}, ran {ran / 1e9:.2f}, waited {waited / 1e9:.2f}")
    return sorted(lines)


def nobody() -> Books:
    """Return no books: a deadline in host time."""
    return {}


class Deadline:
    """So many seconds from now on, of the time that whoever is in the books had; `LONGEST` times that at most."""

    def __init__(self, seconds: float, read: Callable[[], Books] = nobody) -> None:
        """`read` must not be called with a lock held that the loop's thread wants: it may ask another host."""
        self.seconds = seconds
        self._read = read
        self._began = time.monotonic()
        self._lost = 0.0
        self._noted: tuple[float, Books] | None = None
        self._seen: tuple[float, Books] = (float("-inf"), {})
        self._looking = float("-inf")

    @property
    def left(self) -> float:
        """The host's seconds until it passes, by what is known now; `extend` knows more."""
        longest = self._began + self.seconds * LONGEST
        return min(max(self._began + self.seconds + self._lost, self._looking), longest) - time.monotonic()

    def passed(self) -> bool:
        """Tell whether it has passed; for who asks something again and again, rather than waits."""
        if self.left > 0:
            self.note()
            return False
        return not self.extend()

    def note(self) -> None:
        """Open the books, once the wait has lasted a little."""
        if self._noted is None and time.monotonic() - self._began >= NOTE_SECONDS:
            with contextlib.suppress(LabError):
                self._noted = (time.monotonic(), self._read())

    def extend(self) -> bool:
        """Count what was lost so far, of which `left` then knows; tell whether there is time left.

        If none is, but somebody waits for a processor just now, there is a little: until the next look.
        """
        if self._noted is not None:
            with contextlib.suppress(LabError):
                since, before = self._noted
                after, now = self._read(), time.monotonic()
                self._lost = _lost(before, after, now - since)
                if self.left <= SHORTEST and self._somebody_waits(after, now):
                    self._looking = now + LOOK_SECONDS
        return self.left > SHORTEST

    def _somebody_waits(self, books: Books, now: float) -> bool:
        """Tell whether a thread is ready, and hardly any ran since the last look; if that is long ago, it may be so."""
        (then, before), self._seen = self._seen, (now, books)
        if now - then > 3 * LOOK_SECONDS:
            return any(ready for _, _, ready in books.values())
        ran = max((now_ran - before[name][0] for name, (now_ran, _, _) in books.items() if name in before), default=0)
        return ran / 1e9 < HARDLY * (now - then) and any(
            each[2] and before.get(name) == each for name, each in books.items()
        )

    def __str__(self) -> str:
        passed = time.monotonic() - self._began
        if self._lost < self.seconds / 10:
            return f"{self.seconds:g} s"
        return f"{passed - self._lost:.3g} s of its own ({passed:.3g} s on the host, which was busy with other things)"


def _lost(before: Books, after: Books, passed: float) -> float:
    """Return the seconds without a processor, of those that passed.

    One waits for the other (the agent for QEMU, that for the lab), so that the waits of all threads add up; those that
    waited side by side are counted too often, but never into the time that one of them ran.
    """
    ran, waited = [0.0], 0.0
    for thread, (now_ran, now_waited, _) in after.items():
        then_ran, then_waited, _ = before.get(thread, (0, 0, False))
        ran.append((now_ran - then_ran) / 1e9)
        waited += (now_waited - then_waited) / 1e9
    return max(0.0, min(waited, passed - max(ran)))
