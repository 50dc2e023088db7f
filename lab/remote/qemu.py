"""A QEMU on the other side, with the near ends of its lines here."""

from __future__ import annotations

import contextlib
import os
import socket
import zlib
from pathlib import Path

from lab.errors import LabError
from lab.machine.deadline import Books, books
from lab.machine.host import Fit
from lab.machine.qemu import LINES
from lab.machine.snapshots import Provenance
from lab.machine.spec import Parts
from lab.remote import messages
from lab.remote.errors import LinkLostError
from lab.remote.frames import STATUS, Frame, Kind
from lab.remote.link import Link


class RemoteQemu:
    """What LocalQemu is, through a link."""

    def __init__(self, link: Link, parts: Parts, fit: Fit, snapshot: str) -> None:
        """Start it; `parts` are paths of the other side."""
        self.where = f" on {link.where}"
        self._link = link
        self._status: int | None = None
        self._dropped = self._closed = False
        self._gone = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        pairs = {name: socket.socketpair() for name in LINES}
        self.near = {name: near for name, (near, _) in pairs.items()}
        self.far = {Kind[name.upper()]: far for name, (_, far) in pairs.items()}
        self._ways = dict(self.far)  # the same sockets, for what comes; `far` loses those that are closed here
        self._words, self._said = socket.socketpair()
        self._words.setblocking(False)
        self._number = link.attach(self)
        try:
            started = link.ask(messages.Start(self._number, parts, fit, snapshot), messages.Started)
        except BaseException:
            self._dropped = True  # there is none; one that starts after all ends with the connection
            self.close()
            raise
        self.pid, self.argv, self.disks, self.dump = started.pid, started.argv, started.disks, started.dump

    @property
    def words(self) -> int:
        """The descriptor of what it prints."""
        return self._words.fileno()

    @property
    def gone(self) -> int:
        """The descriptor that tells of its end."""
        return self._gone

    def take(self, frame: Frame) -> None:
        """Take what comes from its lines; for the link."""
        if frame.kind is Kind.ENDED:
            (self._status,) = STATUS.unpack(frame.payload)
            os.eventfd_write(self._gone, 1)
            return
        way = self._said if frame.kind is Kind.WORDS else self._ways[frame.kind]
        with contextlib.suppress(OSError):  # nobody listens any more
            way.sendall(frame.payload)

    def lose(self) -> None:
        """Tell of the end, which nobody knows more of; for the link."""
        for end in self._ways.values():
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_WR)
        if not self._closed:
            os.eventfd_write(self._gone, 1)

    def reap(self) -> int | None:
        """Return its exit status."""
        return self._status

    def books(self) -> Books:
        """Return the books on QEMU and its keeper, and on this process."""
        there = self._link.ask(messages.ReadBooks(self._number), Books)
        return {f"{thread} there": times for thread, times in there.items()} | books(os.getpid())

    def threads(self) -> list[str]:
        """Return none: nobody asks the keeper for them."""
        return []

    def lost(self) -> LabError | None:
        """Return why the connection is lost, unless the end was told of before."""
        return self._link.lost if self._status is None else None

    def settle(self) -> bool:
        """Bring all that it has said to the near ends."""
        return bool(self._link.ask(messages.Settle(self._number), bool))

    def offer_agent_line(self) -> socket.socket:
        """Make a new line here and on the other side."""
        self._link.ask(messages.OfferLine(self._number))
        near, far = socket.socketpair()
        with self._link.lock:
            self._ways[Kind.AGENT].close()
            self.far[Kind.AGENT] = self._ways[Kind.AGENT] = far
        return near

    def read_dump(self, size: int) -> bytes:
        """Return the first bytes of the file for pmemsave."""
        return zlib.decompress(self._link.ask(messages.ReadDump(self._number, size), bytes))

    def read_swap(self, offset: int, size: int) -> bytes:
        """Return what is on the swap disk."""
        return bytes(self._link.ask(messages.ReadSwap(self._number, offset, size), bytes))

    def save(self, made_of: Provenance, entry: Path) -> None:  # noqa: ARG002 - the keeper knows where
        """Keep its disks in the other side's cache."""
        self._link.ask(messages.Save(self._number, made_of))

    def kill(self) -> None:
        """Kill it, and let its disks go. RemoteError: its keeper does not answer; LabError: the keeper's own."""
        if not self._dropped:
            self._dropped = True
            with contextlib.suppress(LinkLostError):
                self._link.ask(messages.Drop(self._number))

    def close(self) -> None:
        """Let everything go."""
        if self._closed:
            return
        try:
            self.kill()
        finally:
            self._link.detach(self._number)
            self._closed = True
            for end in (*self.near.values(), *self._ways.values(), self._words, self._said):
                end.close()
            os.close(self._gone)
