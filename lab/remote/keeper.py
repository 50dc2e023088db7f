"""The one process on the other side that does the work: for a connection, and it ends with it.

It reads frames from its standard input and writes frames to its standard output; it opens nothing else. Whatever
happens to the connection, to the process on the near side or to this one, no QEMU is left: the end of the input,
silence and a signal end the keeper, its guard kills a keeper whose loop stands still, and the keeper's end, however
it comes, kills its QEMUs (PR_SET_PDEATHSIG). Their disks have no names.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import sys
import threading
import time
import traceback
from types import FrameType
from typing import Any

from lab.errors import InfraError, LabError, RemoteError
from lab.host_trouble import host_trouble
from lab.journal import Journal
from lab.machine.loop import loop
from lab.remote import messages
from lab.remote.frames import BEAT_SECONDS, SILENCE_SECONDS, Decoder, Frame, Kind
from lab.remote.guard import ENDING, Pulse, under_guard
from lab.remote.outlet import Outlet
from lab.remote.works import Works, settings_for
from lab.settings import Settings

END_SECONDS = 15.0  # then it ends, whatever it was doing;
KILL_SECONDS = 20.0  # or its guard ends it
PLENTY = 8 << 20  # bytes that wait for the other side: meanwhile QEMU's lines are not read


class Keeper:
    """Frames in, work, frames out. Methods with a leading underscore belong to the loop's thread."""

    def __init__(self, source: int, sink: int, settings: Settings, pulse: Pulse) -> None:
        self.works = Works(settings, self._say)
        self._source = source
        self._pulse = pulse
        self._asked: queue.SimpleQueue[messages.Asked | None] = queue.SimpleQueue()
        self._decoder = Decoder()
        self._heard = time.monotonic()
        self._silence = SILENCE_SECONDS
        self._paused = False
        self._ending = False
        self._out = Outlet(sink, loop().events, self._go_on)

    def serve(self) -> None:
        """Answer requests, one after the other, until the connection ends; for the main thread."""
        loop().call(self._begin)
        while (asked := self._asked.get()) is not None:
            try:
                self._answer(asked)
            except LabError as error:
                self._tell(messages.failure(asked.number, error))
            except Exception:  # noqa: BLE001 - the near side is told, and goes on or not
                seen = traceback.format_exc().splitlines()[-12:]
                self._tell(messages.failure(asked.number, InfraError("the keeper stumbled", seen=seen)))

    def end_machines(self) -> None:
        """Kill every QEMU and wait until they are gone."""
        for kept in list(self.works.machines.values()):
            kept.qemu.kill()
        for kept in list(self.works.machines.values()):
            kept.ended.wait(END_SECONDS)

    def _answer(self, asked: messages.Asked) -> None:
        request = asked.request
        if isinstance(request, messages.Hello):
            self.works.settings = settings_for(self.works.settings, request.qemu)
            self._silence = request.silence
            loop().call(self._beat)
            value: Any = os.getpid()
        else:
            journal = Journal()
            journal.listen(lambda event: self._tell(messages.Event(asked.number, event)))
            with host_trouble(f"doing {type(request).__name__}"):
                value = self.works.do(request, journal)
        self._tell(messages.Answer(asked.number, messages.encode(value)))

    def _tell(self, value: messages.Answer | messages.Event | messages.Failure) -> None:
        """Send a message, from any thread."""
        frame = Frame(Kind.CONTROL, payload=messages.encode(value))
        loop().events.call_soon_threadsafe(self._say, frame)

    def _begin(self) -> None:
        loop().events.add_reader(self._source, self._read)
        self._next = loop().events.call_soon(self._beat)

    def _beat(self) -> None:
        """Show the other side and the guard that we are there, and look whether the other side is."""
        self._next.cancel()
        if time.monotonic() - self._heard > self._silence:
            self._end()
        if self._ending:
            return
        self._say(Frame(Kind.BEAT))
        self._pulse.promise(2 * self._silence)  # by then the other side has given us up
        self._next = loop().events.call_later(min(BEAT_SECONDS, self._silence / 4), self._beat)

    def _say(self, frame: Frame) -> None:
        self._out.send(frame.encode())
        if self._out.waiting > PLENTY and not self._paused:
            self._pause(on=True)

    def _go_on(self) -> None:
        if self._paused:
            self._pause(on=False)

    def _pause(self, *, on: bool) -> None:
        self._paused = on
        for kept in list(self.works.machines.values()):
            kept.pause(on=on)

    def _read(self) -> None:
        try:
            data = os.read(self._source, 1 << 16)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._end()
            return
        self._heard = time.monotonic()
        try:
            for frame in self._decoder.feed(data):
                self._take(frame)
        except RemoteError:
            self._end()

    def _take(self, frame: Frame) -> None:
        if frame.kind is Kind.CONTROL:
            self._asked.put(messages.decode(frame.payload, messages.Asked))
        elif frame.kind is not Kind.BEAT and frame.machine in self.works.machines:
            self.works.machines[frame.machine].deliver(frame)

    def _end(self) -> None:
        """Kill the QEMUs at once; then the main thread puts away what it works at, and if it does not, no matter."""
        if not self._ending:
            self._ending = True
            loop().events.remove_reader(self._source)
            for kept in list(self.works.machines.values()):
                kept.qemu.kill()
            self._pulse.promise(KILL_SECONDS)
            self._asked.put(None)
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
            loop().events.call_later(END_SECONDS, os._exit, 1)


def main() -> None:
    """Work for whoever holds the other ends of standard input and output."""
    pulse = under_guard()
    ending = False

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        nonlocal ending
        if not ending:
            ending = True
            raise KeyboardInterrupt

    for number in ENDING:
        signal.signal(number, interrupt)
    sink = os.dup(1)
    os.dup2(2, 1)  # what a library prints must not come between the frames
    os.set_blocking(0, False)
    os.set_blocking(sink, False)
    keeper = Keeper(0, sink, Settings.from_environment(), pulse)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            keeper.serve()
    finally:
        ending = True
        keeper.end_machines()
        sys.stderr.flush()
        os._exit(0)  # the loop's thread holds nothing that outlives us


if __name__ == "__main__":
    main()
