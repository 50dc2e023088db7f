"""A file descriptor that is written to without waiting: what does not fit now goes when it does."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable


class Outlet:
    """The way into a pipe or a socket that does not block; for the thread of `events`."""

    def __init__(
        self, number: int, events: asyncio.AbstractEventLoop, when_empty: Callable[[], None] | None = None
    ) -> None:
        """`when_empty` is called when all that had to wait is written."""
        self._number = number
        self._events = events
        self._when_empty = when_empty
        self._waiting = bytearray()
        self._open = True

    @property
    def waiting(self) -> int:
        """How many bytes wait."""
        return len(self._waiting)

    def send(self, data: bytes) -> None:
        """Write, now or later; once the other end is gone, never."""
        if not self._open:
            return
        idle = not self._waiting
        self._waiting += data
        if idle and not self._write():
            self._events.add_writer(self._number, self._go_on)

    def forget(self) -> None:
        """Write nothing of what waits, nor anything else."""
        self._open = False
        self._waiting.clear()
        self._events.remove_writer(self._number)

    def _write(self) -> bool:
        """Write what fits; return whether that was all."""
        try:
            del self._waiting[: os.write(self._number, self._waiting)]
        except BlockingIOError:
            pass
        except OSError:  # nobody reads any more
            self._open = False
            self._waiting.clear()
        return not self._waiting

    def _go_on(self) -> None:
        if self._write():
            self._events.remove_writer(self._number)
            if self._when_empty is not None:
                self._when_empty()
