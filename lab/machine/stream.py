"""One descriptor that does not block, for the loop's thread: what comes is taken at once, what goes waits its turn."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from lab.errors import MachineError
from lab.machine.loop import loop

_PIECE = 1 << 16


class Stream:
    """A socket or a pipe that is somebody else's. `serve` is a task of the owner's, who hears there of all failures."""

    def __init__(
        self, number: int, take: Callable[[bytes], object], when_empty: Callable[[], None] | None = None
    ) -> None:
        """`take(data)` is given what comes; `when_empty` is called when all that had to wait was written."""
        self._number = number
        self._take = take
        self._when_empty = when_empty
        self._waiting = bytearray()
        self._end: asyncio.Future[None] | None = None
        self._open = self._heard = True
        self._paused = False
        os.set_blocking(number, False)

    async def serve(self) -> None:
        """Take what comes until the other end is closed; whatever `take` raises is raised here."""
        self._end = loop().events.create_future()
        self._look()
        try:
            await self._end
        finally:
            self.forget()

    @property
    def waiting(self) -> int:
        """How many bytes wait to be written."""
        return len(self._waiting)

    def drain(self) -> None:
        """Take all that is there now."""
        while self._read():
            pass

    def finish(self) -> None:
        """Let `serve` end, or raise what it has to."""
        if self._end is not None and not self._end.done():
            self._end.set_result(None)

    def send(self, data: bytes) -> None:
        """Write, now or later; once nobody reads any more, never."""
        if not (self._open and self._heard):
            return
        idle = not self._waiting
        self._waiting += data
        if idle and not self._write():
            loop().events.add_writer(self._number, self._go_on)

    def pause(self, *, on: bool) -> None:
        """Read nothing for a while, or again."""
        self._paused = on
        self._look()

    def change(self, number: int) -> None:
        """Go on with another descriptor; what waits for the old one is not sent. MachineError: `serve` is over."""
        if not self._serving:
            raise MachineError("nobody reads any more", doing="changing a socket")
        self.forget()
        os.set_blocking(number, False)
        self._number, self._open, self._heard = number, True, True
        self._look()

    def forget(self) -> None:
        """Touch the descriptor no more, which its owner may close now."""
        if self._open:
            self._open = False
            self._waiting.clear()
            loop().events.remove_reader(self._number)
            loop().events.remove_writer(self._number)

    @property
    def _serving(self) -> bool:
        return self._open and self._end is not None and not self._end.done()

    def _look(self) -> None:
        """Let the loop call when there is something to read, or no more."""
        if self._serving and not self._paused:
            loop().events.add_reader(self._number, self._read)
        elif self._open:
            loop().events.remove_reader(self._number)

    def _read(self) -> bool:
        """Take a piece; tell whether there may be more."""
        if not self._serving or self._end is None:
            return False
        try:
            data = os.read(self._number, _PIECE)
            if data:
                self._take(data)
                return True
            self._end.set_result(None)
        except BlockingIOError:
            return False
        except ConnectionError:
            self._end.set_result(None)
        except Exception as error:  # noqa: BLE001 - raised by `serve`, where the owner waits
            self._end.set_exception(error)
        self._look()
        return False

    def _write(self) -> bool:
        """Write what fits; return whether that was all."""
        try:
            del self._waiting[: os.write(self._number, self._waiting)]
        except BlockingIOError:
            pass
        except OSError:
            self._heard = False
            self._waiting.clear()
        return not self._waiting

    def _go_on(self) -> None:
        if self._write():
            loop().events.remove_writer(self._number)
            if self._when_empty is not None:
                self._when_empty()


async def whenever_readable(number: int, look: Callable[[], bool]) -> None:
    """Call `look` whenever there is something to read, or no more, until it returns False; what it raises is raised."""
    done: asyncio.Future[None] = loop().events.create_future()

    def call() -> None:
        error: Exception | None = None
        try:
            if look():
                return
        except Exception as stumbled:  # noqa: BLE001 - raised below
            error = stumbled
        if not done.done():  # `look` may have cancelled who waits
            done.set_exception(error) if error is not None else done.set_result(None)

    loop().events.add_reader(number, call)
    try:
        await done
    finally:
        loop().events.remove_reader(number)


async def readable(number: int) -> None:
    """Return when there is something to read, or no more."""
    await whenever_readable(number, lambda: False)
