"""The one process on the other side that does the work: for a connection, and it ends with it.

It reads packets from its standard input and writes packets to its standard output; it opens nothing else. Whatever
happens to the connection, to the process on this side or to this one, no QEMU is left: the end of the input, silence
and a signal end the peer, its watchdog kills a peer whose loop stands still, and the peer's end, however it comes,
kills its QEMUs (PR_SET_PDEATHSIG). Their disks have no names.
"""

from __future__ import annotations

import asyncio
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

from lab.errors import InfraError, LabError
from lab.host_trouble import host_trouble
from lab.journal import Journal
from lab.machine.loop import loop
from lab.machine.stream import Stream
from lab.remote import messages
from lab.remote.handlers import Handlers, settings_for
from lab.remote.packets import HEARTBEAT_SECONDS, SILENCE_SECONDS, Kind, Packet, PacketDecoder
from lab.remote.watchdog import ENDING, Heartbeat, under_watchdog
from lab.settings import Settings

END_SECONDS = 15.0  # then it ends, whatever it was doing;
KILL_SECONDS = 20.0  # or its watchdog ends it
PLENTY = 8 << 20  # bytes that wait for the other side: meanwhile QEMU's sockets are not read


class Peer:
    """Packets in, work, packets out. Methods with a leading underscore belong to the loop's thread."""

    def __init__(self, source: int, sink: int, settings: Settings, heartbeat: Heartbeat) -> None:
        self.handlers = Handlers(settings, self._say)
        self._heartbeat = heartbeat
        self._asked: queue.SimpleQueue[messages.Asked | None] = queue.SimpleQueue()
        self._decoder = PacketDecoder()
        self._heard = time.monotonic()
        self._silence = SILENCE_SECONDS
        self._greeted = asyncio.Event()
        self._paused = False
        self._in = Stream(source, self._hear)
        self._out = Stream(sink, self._hear, self._go_on)

    def serve(self) -> None:
        """Answer requests, one after the other, until the connection ends; for the main thread."""
        self._life = loop().start(self._live())
        while (asked := self._asked.get()) is not None:
            try:
                self._answer(asked)
            except LabError as error:
                self._tell(messages.failure(asked.number, error))
            except Exception:  # noqa: BLE001 - the other side is told, and goes on or not
                seen = traceback.format_exc().splitlines()[-12:]
                self._tell(messages.failure(asked.number, InfraError("the peer stumbled", seen=seen)))

    def end_machines(self) -> None:
        """Kill every QEMU and wait until they are gone."""
        for hosted in list(self.handlers.machines.values()):
            hosted.qemu.kill()
        for hosted in list(self.handlers.machines.values()):
            hosted.ended.wait(END_SECONDS)

    def _answer(self, asked: messages.Asked) -> None:
        request = asked.request
        if isinstance(request, messages.Hello):
            self.handlers.settings = settings_for(self.handlers.settings, request.qemu)
            self._silence = request.silence
            loop().call(self._greeted.set)
            value: Any = os.getpid()
        else:
            journal = Journal()
            journal.listen(lambda event: self._tell(messages.Event(asked.number, event)))
            with host_trouble(f"doing {type(request).__name__}"):
                value = self.handlers.do(request, journal)
        self._tell(messages.Answer(asked.number, messages.encode(value)))

    def _tell(self, value: messages.Answer | messages.Event | messages.Failure) -> None:
        """Send a message, from any thread."""
        packet = Packet(Kind.CONTROL, payload=messages.encode(value))
        loop().events.call_soon_threadsafe(self._say, packet)

    async def _live(self) -> None:
        """Be the connection's life: it ends with the input, with silence, and with a word that is none."""
        try:
            async with asyncio.TaskGroup() as tasks:
                timing = tasks.create_task(self._keep_time())
                hearing = tasks.create_task(self._in.serve())
                await asyncio.wait([timing, hearing], return_when=asyncio.FIRST_COMPLETED)
                if timing.done():
                    sys.stderr.write(f"nothing was heard for {self._silence:g} s\n")
                timing.cancel()
                hearing.cancel()
        except* Exception as group:  # noqa: BLE001 - our last words, which the other side shows
            sys.stderr.write("".join(traceback.format_exception(group)[-12:]))
        finally:
            self._end()

    async def _keep_time(self) -> None:
        """Show the other side and the watchdog that we are there, until the other side seems not to be."""
        while time.monotonic() - self._heard <= self._silence:
            self._say(Packet(Kind.HEARTBEAT))
            self._heartbeat.promise(2 * self._silence)  # by then the other side has given us up
            self._greeted.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._greeted.wait(), min(HEARTBEAT_SECONDS, self._silence / 4))

    def _say(self, packet: Packet) -> None:
        self._out.send(packet.encode())
        if self._out.waiting > PLENTY and not self._paused:
            self._pause(on=True)

    def _go_on(self) -> None:
        if self._paused:
            self._pause(on=False)

    def _pause(self, *, on: bool) -> None:
        self._paused = on
        for hosted in list(self.handlers.machines.values()):
            hosted.qemu.pause(on=on)

    def _hear(self, data: bytes) -> None:
        self._heard = time.monotonic()
        for packet in self._decoder.feed(data):
            if packet.kind is Kind.CONTROL:
                self._asked.put(messages.decode(packet.payload, messages.Asked))
            elif packet.kind is not Kind.HEARTBEAT and packet.machine in self.handlers.machines:
                self.handlers.machines[packet.machine].deliver(packet)

    def _end(self) -> None:
        """Kill the QEMUs at once; then the main thread puts away what it works at, and if it does not, no matter."""
        for hosted in list(self.handlers.machines.values()):
            hosted.qemu.kill()
        self._heartbeat.promise(KILL_SECONDS)
        self._asked.put(None)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
        loop().events.call_later(END_SECONDS, os._exit, 1)


def main() -> None:
    """Work for whoever holds the other ends of standard input and output."""
    heartbeat = under_watchdog()
    ending = False

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        nonlocal ending
        if not ending:
            ending = True
            raise KeyboardInterrupt

    for number in ENDING:
        signal.signal(number, interrupt)
    sink = os.dup(1)
    os.dup2(2, 1)  # what a library prints must not come between the packets
    peer = Peer(0, sink, Settings.from_environment(), heartbeat)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            peer.serve()
    finally:
        ending = True
        peer.end_machines()
        sys.stderr.flush()
        os._exit(0)  # the loop's thread holds nothing that outlives us


if __name__ == "__main__":
    main()
