"""A QEMU on the other side, as a proxy: what it says comes by the client, and what is said to it goes there."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import zlib
from pathlib import Path

from lab.errors import LabError
from lab.machine.deadline import Books, books
from lab.machine.host import Fit
from lab.machine.qemu import Hearers
from lab.machine.snapshots import Provenance
from lab.machine.spec import Parts
from lab.machine.stream import Stream
from lab.remote import messages
from lab.remote.client import Client
from lab.remote.packets import STATUS, Kind, Packet


class RemoteQemu:
    """What LocalQemu is, through a client."""

    def __init__(self, client: Client, parts: Parts, fit: Fit, snapshot: str) -> None:
        """Start it; `parts` are paths of the other side."""
        self.where = f" on {client.where}"
        self.agent = self
        self._client = client
        self._status: int | None = None
        self._dropped = self._closed = False
        self._early: list[Packet] = []  # what comes before anybody hears it
        self._hearers: Hearers | None = None
        self._over = False
        self._trouble: Exception | None = None
        self._news = asyncio.Event()  # it is over, or in trouble
        self.qmp, self._pumped = socket.socketpair()
        self._pump = Stream(self._pumped.fileno(), lambda data: self._pass(Kind.QMP, data))
        self._number = client.attach(self)
        try:
            started = client.ask(messages.Start(self._number, parts, fit, snapshot), messages.Started)
        except BaseException:
            self._dropped = True  # there is none; one that starts after all ends with the connection
            self.close()
            raise
        self.pid, self.argv, self.disks, self.dump = started.pid, started.argv, started.disks, started.dump

    async def serve(self, hearers: Hearers) -> int | None:
        """Give what comes until it has ended."""
        self._hearers = hearers
        early, self._early = self._early, []
        for packet in early:
            self.take(packet)
        try:
            async with asyncio.TaskGroup() as tasks:
                pumping = tasks.create_task(self._pump.serve())
                await self._news.wait()
                pumping.cancel()
        finally:
            self._hearers = {}
            with contextlib.suppress(OSError):
                self._pumped.shutdown(socket.SHUT_WR)  # or who waits for QMP would not hear of it
        if self._trouble is not None:
            trouble, self._trouble = self._trouble, None
            if not self._over:
                self._news.clear()
            raise trouble
        return self._status

    def take(self, packet: Packet) -> None:
        """Take what comes from it; for the client."""
        if self._hearers is None:
            self._early.append(packet)
        elif packet.kind is Kind.ENDED:
            (self._status,) = STATUS.unpack(packet.payload)
            self.lose()
        elif packet.kind is Kind.QMP:
            self._pump.send(packet.payload)
        elif (name := packet.kind.name.lower()) in self._hearers:
            try:
                self._hearers[name](packet.payload)
            except Exception as error:  # noqa: BLE001 - it is this machine's, and raised by `serve`
                self._trouble = self._trouble or error
                self._news.set()

    def lose(self) -> None:
        """Take it that nothing comes any more; for the client."""
        self._over = True
        self._news.set()

    def send(self, data: bytes) -> int:
        """Send all of this to the agent."""
        self._pass(Kind.AGENT, data)
        return len(data)

    def fileno(self) -> int:
        """Return no descriptor: all fits always."""
        return -1

    def _pass(self, kind: Kind, data: bytes) -> None:
        self._client.send(Packet(kind, self._number, data))

    def books(self) -> Books:
        """Return the books on QEMU and its peer, and on this process."""
        there = self._client.ask(messages.ReadBooks(self._number), Books)
        return {f"{thread} there": times for thread, times in there.items()} | books(os.getpid())

    def threads(self) -> list[str]:
        """Return a line for each of its threads; none if there is nobody to ask."""
        with contextlib.suppress(LabError):
            return list(self._client.ask(messages.ReadThreads(self._number), list[str]))
        return []

    def lost(self) -> LabError | None:
        """Return why the connection is lost, unless the end was told of before."""
        return self._client.lost if self._status is None else None

    def drain(self) -> bool:
        """Let all be heard that it has said."""
        return bool(self._client.ask(messages.Drain(self._number), bool))

    def renew_agent(self) -> None:
        """Have a new socket on the other side; what goes over before this goes to the old one."""
        self._client.ask(messages.RenewAgent(self._number))

    def read_dump(self, size: int) -> bytes:
        """Return the first bytes of the file for pmemsave."""
        return zlib.decompress(self._client.ask(messages.ReadDump(self._number, size), bytes))

    def read_swap(self, offset: int, size: int) -> bytes:
        """Return what is on the swap disk."""
        return bytes(self._client.ask(messages.ReadSwap(self._number, offset, size), bytes))

    def save(self, made_of: Provenance, entry: Path) -> None:  # noqa: ARG002 - the peer knows where
        """Keep its disks in the other side's cache."""
        self._client.ask(messages.Save(self._number, made_of))

    def kill(self) -> None:
        """Kill it, and let its disks go. RemoteError: its peer does not answer; LabError: the peer's own."""
        if not self._dropped:
            self._dropped = True
            try:
                self._client.ask(messages.Drop(self._number))
            except LabError:
                if self._client.lost is None:
                    raise

    def close(self) -> None:
        """Let everything go."""
        if self._closed:
            return
        try:
            self.kill()
        finally:
            self._client.detach(self._number)
            self._closed = True
            self.qmp.close()
            self._pumped.close()
