"""How waits for a machine end: with what is awaited, at a deadline, or with the verdict (why the machine died)."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable
from typing import TypeVar

from lab.errors import HostError, InfraError, LabError
from lab.machine.deadline import Books, Deadline, nobody
from lab.machine.loop import SLICE_SECONDS

T = TypeVar("T")

GRACE_SECONDS = 5.0


class Watch:
    """A condition that waiters wait on, and a verdict (a guest fault, a dead QEMU) that ends every wait.

    The first verdict stays. It is held as a function that makes the error, since one exception object can't be raised
    from several threads without mixing their traces. `expect` says that a verdict is on its way (an oops is still
    being printed, a dead QEMU's last words are being read): a deadline that passes now waits a little for it.
    """

    def __init__(self, read: Callable[[], Books] = nobody) -> None:
        """`read` gives the books on what the guest runs in, from which its own time is known."""
        self._read = read
        self._changed = threading.Condition()
        self._verdict: Callable[[], LabError] | None = None
        self._expected = False

    @property
    def failed(self) -> bool:
        """Whether there is a verdict."""
        return self._verdict is not None

    def expect(self) -> None:
        """Say that a verdict is on its way."""
        self._expected = True

    def fail(self, make: Callable[[], LabError]) -> None:
        """Set the verdict, unless there is one already, and wake every waiter."""
        with self._changed:
            if self._verdict is None:
                self._verdict = make
            self._expected = False
            self._changed.notify_all()

    def stumble(self, error: Exception) -> None:
        """Make the verdict of what went wrong in the lab itself, or on its host, where nobody waits for an answer."""
        if isinstance(error, InfraError):
            doing, what, hint = error.doing, error.what, error.hint
            self.fail(lambda: HostError(what, doing=doing, hint=hint))
        else:
            seen = _trace(error)
            self.fail(lambda: InfraError("the lab stumbled", doing="watching a machine", seen=seen))

    def notify(self) -> None:
        """Wake every waiter, since something arrived that one of them may want."""
        with self._changed:
            self._changed.notify_all()

    def forget(self) -> None:
        """Drop the verdict: the guest was put back to a time before it."""
        with self._changed:
            self._verdict = None
            self._expected = False

    def check(self) -> None:
        """Raise the verdict if there is one, or if one is on its way."""
        if self._expected or self._verdict is not None:
            self.wait(_never, 0.0)

    def deadline(self, seconds: float) -> Deadline:
        """Return a deadline in the guest's own time, which begins now."""
        return Deadline(seconds, self._read)

    def wait(self, ready: Callable[[], T | None], limit: Deadline | float) -> T | None:
        """Return `ready()` as soon as it is not None, and None after `limit` (host seconds); a verdict is raised.

        What is already there wins over the verdict: an answer that came before the fault is an answer.
        """
        end = limit if isinstance(limit, Deadline) else Deadline(limit)
        graced = False
        while True:
            with self._changed:
                found = ready()
                if found is not None:
                    return found
                if self._verdict is not None:
                    raise self._verdict()
                left = end.left
                if left > 0:
                    self._changed.wait(min(left, SLICE_SECONDS))
            if left > 0:
                end.note()
            elif not end.extend():
                if graced or not self._expected:
                    return None
                end, graced = Deadline(GRACE_SECONDS), True

    def verdict(self, otherwise: LabError) -> LabError:
        """Return the verdict on something that has already gone wrong, waiting for it; `otherwise` if none comes."""
        try:
            self.wait(_never, GRACE_SECONDS)
        except LabError as error:
            return error
        return otherwise


def _never() -> None:
    return None


def _trace(error: Exception) -> list[str]:
    return "".join(traceback.format_exception(error)).splitlines()[-12:]
