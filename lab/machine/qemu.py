"""The QEMU process itself: started with sockets and private disks, killed, gone without a trace.

`Qemu` is what a session needs of it, wherever it runs; `LocalQemu` runs on this host.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import termios
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from lab.errors import LabError, MachineError
from lab.machine import options, qcow2, snapshots
from lab.machine.deadline import Books, books, threads
from lab.machine.disks import Overlays
from lab.machine.loop import loop
from lab.machine.rpc import Outlet
from lab.machine.spec import MachineSpec, Parts
from lab.machine.stream import Stream, readable
from lab.process import dying_with_parent, require

SOCKETS = ("qmp", "console", "agent")
WORDS = "words"  # beside these: what QEMU itself prints
AGENT_FD = "agent"
# Right after a process of several threads has ended, wait() was seen to take a processor for up to two minutes on a
# busy host (Linux 6.18), if somebody had read its /proc/PID/task; the loop, and all machines with it, stood still. It
# looks as if its last thread were still taking names out of /proc, and who waits for that kept the processor from it.
RELEASE_SECONDS = 1.0

Hearers = Mapping[str, Callable[[bytes], object]]
"""Who hears what comes from a QEMU: by a name of SOCKETS, or WORDS."""


class Qemu(Protocol):
    """A QEMU, wherever it runs.

    `pid` is its number there and `where` says for people where that is (empty: here). `argv` is its command line,
    `disks` the block nodes that have an overlay, `dump` what it calls the file for pmemsave.
    """

    pid: int
    where: str
    argv: list[str]
    disks: list[str]
    dump: str

    @property
    def qmp(self) -> socket.socket:
        """Our end of its QMP connection."""

    @property
    def agent(self) -> Outlet:
        """The way to the agent's serial port."""

    async def serve(self, hearers: Hearers) -> int | None:
        """Give what comes until it has ended, all of it; in the loop's thread.

        Returns the exit status (negative: a signal), None if that can't be known. What a hearer raises is raised.
        """

    def books(self) -> Books:
        """Return for how long the threads of QEMU, and of all that it speaks with, ran and waited to run."""

    def threads(self) -> list[str]:
        """Return a line for each of QEMU's threads: name, state, what it waits for; none where that can't be seen."""

    def lost(self) -> LabError | None:
        """Return why nothing can be known of it any more, if that is so."""

    def drain(self) -> bool:
        """Let all be heard that a stopped guest has said; tell whether it left bytes to the agent unread."""

    def renew_agent(self) -> None:
        """Have a new socket for the agent's port, whose other end is there for QMP's `getfd` as AGENT_FD."""

    def read_dump(self, size: int) -> bytes:
        """Return the first bytes of the file for pmemsave."""

    def read_swap(self, offset: int, size: int) -> bytes:
        """Return what is on the swap disk, within 64 KiB; QEMU must not be writing."""

    def save(self, made_of: snapshots.Provenance, entry: Path) -> None:
        """Keep the disks of one that has ended as a snapshot; `entry` is a folder of its host."""

    def kill(self) -> None:
        """Kill it, if it still runs; `serve` tells when that is done."""

    def close(self) -> None:
        """Let its sockets and disks go; may be called twice."""


def _release(pid: int) -> None:
    """Let a child go that has ended."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


class LocalQemu:
    """A child of this process's loop thread.

    No name on the host's file system belongs to it: it speaks through socket pairs, the overlays are unnamed files, and
    what QEMU prints comes through a pipe.
    """

    where = ""

    def __init__(
        self, binary: str, spec: MachineSpec, parts: Parts, accel: str, overlays: Overlays, load: str = ""
    ) -> None:
        """Start it, with overlays that are its own now and `load`, a snapshot's name. HostError: there is no QEMU."""
        self.disks = overlays.names
        self._overlays = overlays
        self._parts = parts
        self._process: subprocess.Popen[bytes] | None = None
        self._dump = os.memfd_create("pmemsave")
        self.dump = options.DUMP.format(self._dump)
        pairs = {name: socket.socketpair() for name in SOCKETS}
        self._sockets = {name: own for name, (own, _) in pairs.items()}
        for end in self._sockets.values():
            end.setblocking(False)
        self._streams: dict[str, Stream] = {}
        theirs = {name: end.fileno() for name, (_, end) in pairs.items()}
        root, swap = overlays.root.fileno(), None if overlays.swap is None else overlays.swap.fileno()
        wiring = options.Wiring(**theirs, root=root, swap=swap)
        chosen = [
            *options.hardware(spec, accel),
            *options.confinement(),
            *options.boot(spec, parts),
            *options.disks(spec, parts, wiring),
            *options.lines(wiring),
        ]
        if load:
            chosen.append(options.QemuOption("-loadvm", load, "begin where the snapshot was taken"))
        try:
            self.argv = dying_with_parent(options.command(require(binary, "qemu-system-x86"), chosen))
            files = [root, *([] if swap is None else [swap]), self._dump]
            loop().call(self._spawn, [*theirs.values(), *files])
        except BaseException:
            loop().call(self._give_up)  # behind a start for which an interrupt did not let us wait
            self.close()
            raise
        finally:
            for _, end in pairs.values():
                end.close()

    def _spawn(self, numbers: list[int]) -> None:
        """Start QEMU in a process group of its own, away from the terminal's Ctrl-C: the lab ends it."""
        self._process = subprocess.Popen(
            self.argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=numbers,
            process_group=0,
        )
        self.pid = self._process.pid
        self._pidfd = os.pidfd_open(self.pid)

    def _give_up(self) -> None:
        """Kill one that has just been started, and wait for its end: nobody else will."""
        self.kill()
        self._reap()

    @property
    def qmp(self) -> socket.socket:
        """Our end of its QMP connection."""
        return self._sockets["qmp"]

    @property
    def agent(self) -> socket.socket:
        """The way to the agent's serial port; it does not block."""
        return self._sockets["agent"]

    async def serve(self, hearers: Hearers) -> int | None:
        """Give what comes until it has ended."""
        assert self._process is not None
        assert self._process.stdout is not None
        numbers = {name: end.fileno() for name, end in self._sockets.items()} | {WORDS: self._process.stdout.fileno()}
        self._streams = {name: Stream(numbers[name], hear) for name, hear in hearers.items()}
        async with asyncio.TaskGroup() as tasks:
            for stream in self._streams.values():
                tasks.create_task(stream.serve())
            await readable(self._pidfd)
            status = self._reap()
            self._drain()
            for stream in self._streams.values():
                stream.finish()
        return status

    def send(self, name: str, data: bytes) -> None:
        """Write to a socket of which `serve` reads, now or later; in the loop's thread."""
        if name in self._streams:
            self._streams[name].send(data)

    def pause(self, *, on: bool) -> None:
        """Read nothing of what it says for a while, or again; in the loop's thread."""
        for stream in self._streams.values():
            stream.pause(on=on)

    def _drain(self) -> None:
        for stream in self._streams.values():
            stream.drain()

    def _reap(self) -> int | None:
        """Return the exit status, in the loop's thread; the process itself is let go `RELEASE_SECONDS` later."""
        process = self._process
        if process is not None and process.returncode is None:
            ended = os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOWAIT)
            assert ended is not None
            process.returncode = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
            loop().events.call_later(RELEASE_SECONDS, _release, self.pid)
        return None if process is None else process.returncode

    def books(self) -> Books:
        """Return the books on QEMU and on this process."""
        return books(self.pid) | books(os.getpid())

    def threads(self) -> list[str]:
        """Return them as the kernel tells (/proc/PID/task/TID: comm, stat, wchan)."""
        return threads(self.pid)

    def lost(self) -> LabError | None:
        """Return None: nothing is between it and us."""
        return None

    def drain(self) -> bool:
        """Let all be heard; tell whether bytes to the agent were left unread."""
        return loop().call(self._unread)

    def _unread(self) -> bool:
        self._drain()
        count = array.array("i", [0])
        fcntl.ioctl(self.agent, termios.TIOCOUTQ, count)
        return count[0] > 0 or self._streams["agent"].waiting > 0

    def renew_agent(self) -> None:
        """Have a new socket, and send its other end to QEMU: between two QMP messages a blank is allowed."""
        own, theirs = socket.socketpair()
        own.setblocking(False)

        def change() -> None:
            with contextlib.suppress(OSError):  # a QEMU that has just ended: the next command tells
                socket.send_fds(self.qmp, [b" "], [theirs.fileno()])
            self._streams["agent"].change(own.fileno())
            self.agent.close()
            self._sockets["agent"] = own

        with theirs:
            loop().call(change)

    def read_dump(self, size: int) -> bytes:
        """Return the first bytes of the file for pmemsave."""
        return os.pread(self._dump, size, 0)

    def read_swap(self, offset: int, size: int) -> bytes:
        """Return what is on the swap disk; MachineError: it has none."""
        if self._overlays.swap is None:
            raise MachineError("the machine has no swap disk", doing="reading the swap disk")
        found = qcow2.read(self._overlays.swap, offset, size)
        if found is not None:
            return found
        if self._parts.swap is None:
            return bytes(size)
        with self._parts.swap.open("rb") as image:
            image.seek(offset)
            return image.read(size)

    def save(self, made_of: snapshots.Provenance, entry: Path) -> None:
        """Write the overlays, and what they were made of, into a folder of the cache."""
        self._overlays.save(entry)
        snapshots.describe(entry, made_of)

    def kill(self) -> None:
        """Kill it."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def close(self) -> None:
        """Let everything go."""
        if self._dump < 0:
            return
        os.close(self._dump)
        self._dump = -1
        for end in self._sockets.values():
            end.close()
        self._overlays.close()
        if self._process is not None:
            assert self._process.stdout is not None
            self._process.stdout.close()
            os.close(self._pidfd)
