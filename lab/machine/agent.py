"""The agent's operations as calls with typed values; protocol.py says what each does and refuses."""

from __future__ import annotations

import struct
from pathlib import PurePosixPath
from typing import TypeVar

import msgspec

from lab.errors import AgentError
from lab.machine import frames, protocol
from lab.machine.protocol import Op
from lab.machine.rpc import REQUEST_SECONDS, AgentRpc, Pending, RefusedError

MEMORY_SECONDS = 120.0
_CHUNK = frames.MAX_PAYLOAD - 64  # bytes of a reply
_PIECE = frames.MAX_REQUEST - protocol.WORD.size
_AGAIN = -11

T = TypeVar("T", bound=msgspec.Struct)


class AgentStats(msgspec.Struct, frozen=True):
    """The agent's own counters since it started."""

    frames: int
    dropped: int
    skipped: int
    requests: int
    refused: int
    tasks: int
    pid: int
    locked_kib: int


class SysInfo(msgspec.Struct, frozen=True):
    """sysinfo(2): seconds, loads (1 << 16 is one process), memory in units of `mem_unit` bytes."""

    uptime: int
    load1: int
    load5: int
    load15: int
    totalram: int
    freeram: int
    sharedram: int
    bufferram: int
    totalswap: int
    freeswap: int
    procs: int
    mem_unit: int


class GuestTime(msgspec.Struct, frozen=True):
    """The guest's clock (seconds, microseconds) and CPU times; from `ticks` on, 100 a second."""

    seconds: int
    microseconds: int
    ticks: int
    utime: int
    stime: int
    cutime: int
    cstime: int


class PatternCheck(msgspec.Struct, frozen=True):
    """What a check of patterned memory found: wrong words, and the first of them."""

    bad_words: int
    address: int
    expected: int
    found: int


class Pressure(msgspec.Struct, frozen=True):
    """What a pass of memory pressure did."""

    pages: int
    bad_words: int


class Rounds(msgspec.Struct, frozen=True):
    """What a worker did in KVMD_ROUNDS: rounds, words that were not as it had left them, calls that a signal ended."""

    done: int
    wrong: int
    interrupted: int


def _unpack(kind: type[T], layout: struct.Struct, data: bytes) -> T:
    if len(data) != layout.size:
        raise AgentError(f"{len(data)} bytes where {kind.__name__} has {layout.size}", doing="reading a reply")
    return kind(*layout.unpack(data))


def _word(data: bytes) -> int:
    if len(data) != protocol.WORD.size:
        raise AgentError(f"{len(data)} bytes where a number was expected", doing="reading a reply")
    return int(protocol.WORD.unpack(data)[0])


class Operations:
    """What the agent and every worker can do. Paths are the guest's; an operation that fails is an RefusedError."""

    def __init__(self, rpc: AgentRpc, task: int) -> None:
        self.rpc = rpc
        self.task = task

    def submit(self, op: Op, payload: bytes = b"") -> Pending:
        """Send a request and return at once."""
        return self.rpc.submit(op, payload, self.task)

    def request(self, op: Op, payload: bytes = b"", deadline: float = REQUEST_SECONDS) -> bytes:
        """Send a request and return the data of its reply."""
        return self.rpc.request(op, payload, self.task, deadline)

    def ping(self, payload: bytes = b"", deadline: float = REQUEST_SECONDS) -> None:
        """Ask for an echo; anything else that comes back is an AgentError."""
        echo = self.request(Op.PING, payload, deadline)
        if echo != payload:
            raise AgentError(f"sent {payload[:32]!r}, got {echo[:32]!r} back", doing="pinging the agent")

    def read_file(self, path: str | PurePosixPath, deadline: float = REQUEST_SECONDS) -> bytes:
        """Return a file's bytes, up to its end."""
        data = b""
        while True:
            place = protocol.PAIR.pack(len(data), _CHUNK)
            part = self.request(Op.READ_FILE, place + str(path).encode(), deadline)
            data += part
            if len(part) < _CHUNK:
                return data

    def write_file(self, path: str | PurePosixPath, data: bytes, deadline: float = REQUEST_SECONDS) -> None:
        """Make a file hold just these bytes."""
        name = str(path).encode() + b"\0"
        done, flags = 0, protocol.WRITE_CREATE | protocol.WRITE_TRUNCATE
        while done < len(data) or flags:
            head = protocol.PAIR.pack(done, flags)
            part = data[done : done + frames.MAX_REQUEST - len(head) - len(name)]
            done += _word(self.request(Op.WRITE_FILE, head + name + part, deadline))
            flags = 0

    def list_dir(self, path: str | PurePosixPath, deadline: float = REQUEST_SECONDS) -> list[str]:
        """Return the names in a directory."""
        names: list[str] = []
        skip = 0
        while True:
            data = self.request(Op.LIST_DIR, protocol.WORD.pack(skip) + str(path).encode(), deadline)
            names += [name.decode() for name in data[4:].split(b"\0") if name]
            skip = _word(data[:4])
            if not skip:
                return names

    def mknod(self, path: str, mode: int, major: int, minor: int) -> None:
        """Make a device node, a pipe or a file."""
        self.request(Op.MKNOD, protocol.PAIR.pack(mode, major << 8 | minor) + path.encode())

    def swapon(self, path: str = "/dev/hdb", flags: int = 0, deadline: float = REQUEST_SECONDS) -> None:
        """Swap on a device."""
        self.request(Op.SWAPON, protocol.WORD.pack(flags) + path.encode(), deadline)

    def swapoff(self, path: str = "/dev/hdb", deadline: float = MEMORY_SECONDS) -> None:
        """Stop swapping on a device, which reads all of it back."""
        self.request(Op.SWAPOFF, path.encode(), deadline)

    def sysinfo(self) -> SysInfo:
        """Return what the kernel says of memory and swap."""
        return _unpack(SysInfo, protocol.SYSINFO, self.request(Op.SYSINFO))

    def time(self) -> GuestTime:
        """Return the guest's (virtual) time."""
        return _unpack(GuestTime, protocol.TIME, self.request(Op.TIME))

    def sync(self, deadline: float = MEMORY_SECONDS) -> None:
        """Write all dirty buffers to the disks."""
        self.request(Op.SYNC, deadline=deadline)


class Agent(Operations):
    """Task 0."""

    def __init__(self, rpc: AgentRpc) -> None:
        super().__init__(rpc, 0)

    def stats(self) -> AgentStats:
        """Return the agent's counters."""
        return _unpack(AgentStats, protocol.STATS, self.request(Op.STATS))

    def spawn(self, nice: int = 0, *, locked: bool = False) -> Worker:
        """Start a worker; `locked` keeps all its memory out of swap."""
        flags = protocol.SPAWN_LOCKED if locked else 0
        task, pid = protocol.PAIR.unpack(self.request(Op.SPAWN, protocol.SPAWN.pack(nice, flags)))
        return Worker(self.rpc, task, pid)

    def kill(self, task: int, signal: int = 9) -> None:
        """Send a signal to a worker."""
        self.request(Op.KILL, protocol.PAIR.pack(task, signal))

    def reap(self, task: int, deadline: float = REQUEST_SECONDS) -> int:
        """Return a worker's wait status once it has died, and free its number; RefusedError: it goes on."""
        end = self.rpc.deadline(deadline)
        while True:
            try:
                return _word(self.request(Op.REAP, protocol.WORD.pack(task)))
            except RefusedError as refusal:
                if refusal.status != _AGAIN or end.passed():
                    raise

    def reboot(self, how: int = protocol.RESTART) -> None:
        """Halt, restart or switch the machine off: QEMU ends, and the machine is dead."""
        self.request(Op.REBOOT, protocol.WORD.pack(how))


class Worker(Operations):
    """A process in the guest with memory of its own; it does one request after the other."""

    def __init__(self, rpc: AgentRpc, task: int, pid: int) -> None:
        super().__init__(rpc, task)
        self.pid = pid

    def exit(self, status: int = 0) -> None:
        """End; the agent's `reap` tells the status and frees the number."""
        self.request(Op.EXIT, protocol.WORD.pack(status))

    def mem_map(self, size: int) -> int:
        """Return the address of `size` bytes of new anonymous memory."""
        return _word(self.request(Op.MEM_MAP, protocol.WORD.pack(size)))

    def mem_unmap(self, address: int, size: int, deadline: float = MEMORY_SECONDS) -> None:
        """Give memory back."""
        self.request(Op.MEM_UNMAP, protocol.PAIR.pack(address, size), deadline)

    def mem_fill(
        self, address: int, size: int, seed: int, first_page: int = 0, deadline: float = MEMORY_SECONDS
    ) -> None:
        """Write the pattern of `seed` (pattern.py); the page at `address` gets the number `first_page`."""
        self.request(Op.MEM_FILL, protocol.MEMORY.pack(address, size, seed, first_page), deadline)

    def mem_verify(
        self, address: int, size: int, seed: int, first_page: int = 0, deadline: float = MEMORY_SECONDS
    ) -> PatternCheck:
        """Compare memory with the pattern of `seed`."""
        payload = protocol.MEMORY.pack(address, size, seed, first_page)
        return _unpack(PatternCheck, protocol.VERDICT, self.request(Op.MEM_VERIFY, payload, deadline))

    def mem_pressure(self, size: int, seed: int, passes: int = 1, deadline: float = MEMORY_SECONDS) -> Pressure:
        """Map, fill, verify `passes` times and unmap `size` bytes."""
        payload = protocol.TRIPLE.pack(size, seed, passes)
        return _unpack(Pressure, protocol.PAIR, self.request(Op.MEM_PRESSURE, payload, deadline))

    def mem_lock(self, address: int, size: int, deadline: float = MEMORY_SECONDS) -> None:
        """Keep memory out of swap."""
        self.request(Op.MEM_LOCK, protocol.PAIR.pack(address, size), deadline)

    def mem_peek(self, address: int) -> int:
        """Return a word of memory."""
        return _word(self.request(Op.MEM_PEEK, protocol.WORD.pack(address)))

    def mem_poke(self, address: int, value: int) -> None:
        """Change a word of memory."""
        self.request(Op.MEM_POKE, protocol.PAIR.pack(address, value))

    def module_send(self, data: bytes, deadline: float = MEMORY_SECONDS) -> None:
        """Give the worker an object file's bytes; it keeps them."""
        for offset in range(0, len(data), _PIECE):
            piece = protocol.WORD.pack(offset) + data[offset : offset + _PIECE]
            self.request(Op.MODULE_DATA, piece, deadline)

    def module_load(self, name: str, words: str = "", deadline: float = MEMORY_SECONDS) -> None:
        """Load the object as a module, into a kernel of 2000; `words` set its numbers: "limit=7 other=9"."""
        self.request(Op.MODULE_LOAD, name.encode() + b"\0" + words.encode(), deadline)

    def module_unload(self, name: str, deadline: float = MEMORY_SECONDS) -> None:
        """Unload a module; a kernel that refuses it gives -EBUSY."""
        self.request(Op.MODULE_UNLOAD, name.encode(), deadline)

    def kvmd_ioctl(self, command: int, argument: bytes, deadline: float = MEMORY_SECONDS) -> bytes:
        """Call an ioctl of the control device (kvmd/kvmdctl.h) and return its structure as the kernel left it."""
        return self.request(Op.KVMD_IOCTL, protocol.WORD.pack(command) + argument, deadline)

    def kvmd_ioctl_at(self, command: int, address: int) -> None:
        """Call an ioctl of the control device with any address for its structure."""
        self.request(Op.KVMD_IOCTL_AT, protocol.PAIR.pack(command, address))

    def kvmd_rounds(
        self,
        rounds: int,
        size: int,
        seed: int,
        *,
        regions: int = 1,
        handle: int = protocol.NO_HANDLE,
        flags: int = 0,
    ) -> Pending:
        """Begin what a driver does, `rounds` times: (open,) alloc, map `regions` regions, write, look, free (, close).

        Of each region of `size` bytes the first two pages are used. With a `handle`, all rounds use that attachment.
        `rounds_done` waits for the end.
        """
        payload = protocol.ROUNDS.pack(rounds, handle, flags, regions, size, seed & 0xFFFFFFFF)
        return self.submit(Op.KVMD_ROUNDS, payload)


def rounds_done(pending: Pending, deadline: float = MEMORY_SECONDS) -> Rounds:
    """Wait for rounds that were begun."""
    return _unpack(Rounds, protocol.DONE, pending.result(deadline))
