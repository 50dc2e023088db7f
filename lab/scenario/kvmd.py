"""kvmd as a Python user sees it: attachments, regions and maps, through the control device in the guest.

    with kvmd.open() as vmd:
        region = vmd.alloc(32 << 20)
        region.fill(seed=7)
        assert region.verify(seed=7).bad_words == 0

Each call is one ioctl (kvmd/kvmdctl.h) of a worker in the guest. A call that the kernel refuses raises RefusedError,
whose `status` is the negative errno.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Self

import msgspec

from lab.machine.agent import MEMORY_SECONDS, PatternCheck, Worker
from lab.machine.kvmdctl import LAYOUTS, Command
from lab.machine.rpc import RefusedError

DEDICATED = 1
LOOK, CHANGE = 0, 1
WINDOW = 64 << 10


class KvmdStats(msgspec.Struct, frozen=True):
    """The kernel's own figures; `regions` to `mapped_pages` are what there is now, the rest counts since boot."""

    threads: int
    attachments: int
    regions: int
    region_bytes: int
    maps: int
    mapped_pages: int
    commands: int
    queue_waits: int
    map_retries: int
    lock_waits: int
    signals: int
    refused: int


class Kvmd:
    """The control device, opened by one worker: a driver, as far as kvmd can tell."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker

    def ioctl(self, command: Command, *words: int, deadline: float = MEMORY_SECONDS) -> tuple[int, ...]:
        """Call one ioctl with the words of its structure, and return them as the kernel left them."""
        layout = LAYOUTS[command]
        padded = [*words, *([0] * (layout.size // 4 - len(words)))]
        return layout.unpack(self.worker.kvmd_ioctl(command, layout.pack(*padded), deadline))

    def open(self, flags: int = 0) -> Attachment:
        """Attach to a kernel thread: to one of the pool, or with DEDICATED to a new one."""
        return Attachment(self, self.ioctl(Command.OPEN, flags)[1])

    def proc(self) -> dict[str, int]:
        """Return /proc/kvmd: each figure by its name (kvmd/README.md says what they are)."""
        lines = self.worker.read_file("/proc/kvmd").decode().splitlines()
        return {name: int(value) for name, value in (line.split() for line in lines)}

    def threads(self) -> list[str]:
        """Return the names of kvmd's threads as the guest's /proc lists them, the keeper's too, sorted."""
        names = []
        for pid in self.worker.list_dir("/proc"):
            if pid.isdigit():
                with suppress(RefusedError):  # it ended just now
                    line = self.worker.read_file(f"/proc/{pid}/stat").decode()
                    names.append(line[line.index("(") + 1 : line.rindex(")")])
        return sorted(name for name in names if name.startswith("kvmd/"))

    def stats(self) -> KvmdStats:
        """Return the kernel's figures."""
        return KvmdStats(*self.ioctl(Command.STATS))


class _Held:
    """Something that the kernel holds for us until the end of a `with`."""

    def release(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None:
            self.release()


class Attachment(_Held):
    """What kvmd_open gives."""

    def __init__(self, kvmd: Kvmd, handle: int) -> None:
        self.kvmd = kvmd
        self.handle = handle

    def alloc(self, size: int) -> Region:
        """Allocate `size` bytes of swappable memory."""
        return Region(self, self.kvmd.ioctl(Command.ALLOC, self.handle, 0, size)[1], size)

    def close(self) -> None:
        """Give back the attachment with all its regions and maps."""
        self.kvmd.ioctl(Command.CLOSE, 0, self.handle)

    release = close


class Region(_Held):
    """What kvmd_alloc gives: `size` bytes at `address` in the thread's own address space."""

    def __init__(self, owner: Attachment, address: int, size: int) -> None:
        self.owner = owner
        self.address = address
        self.size = size

    def free(self) -> None:
        """Give the region back."""
        self.owner.kvmd.ioctl(Command.FREE, self.owner.handle, self.address, self.size)

    release = free

    def resize(self, size: int) -> None:
        """Make the region `size` bytes large; `address` and `size` follow. Its beginning keeps its contents."""
        command = Command.SHRINK if size < self.size else Command.GROW
        words = self.owner.kvmd.ioctl(command, self.owner.handle, self.address, self.size, size)
        self.address, self.size = words[1], size

    def map(self, rw: int = CHANGE, offset: int = 0, size: int | None = None) -> Map:
        """Bring `size` bytes (all, if None) from `offset` into RAM and hold them there."""
        return Map(self, rw, offset, self.size - offset if size is None else size)

    def fill(self, seed: int, first_page: int = 0, window: int = WINDOW, deadline: float = MEMORY_SECONDS) -> None:
        """Write the pattern of `seed` into the whole region, one mapped window of `window` bytes after the other."""
        self._pattern(Command.FILL, seed, first_page, window, deadline)

    def verify(
        self, seed: int, first_page: int = 0, window: int = WINDOW, deadline: float = MEMORY_SECONDS
    ) -> PatternCheck:
        """Compare the whole region with the pattern of `seed`."""
        return PatternCheck(*self._pattern(Command.VERIFY, seed, first_page, window, deadline)[6:])

    def verify_part(self, seed: int, size: int) -> int:
        """Compare the first `size` bytes (whole pages) with the pattern of `seed`; return how many words differ."""
        place = (self.owner.handle, self.address, size)
        return self.owner.kvmd.ioctl(Command.VERIFY, *place, WINDOW, seed, 0)[6]

    def _pattern(self, command: Command, seed: int, first_page: int, window: int, deadline: float) -> tuple[int, ...]:
        place = (self.owner.handle, self.address, self.size)
        return self.owner.kvmd.ioctl(command, *place, window, seed, first_page, deadline=deadline)


class Map(_Held):
    """What kvmd_map gives: pages that stay where they are until they are unmapped."""

    def __init__(self, region: Region, rw: int, offset: int, size: int) -> None:
        self.region = region
        self._kvmd = region.owner.kvmd
        self._handle = region.owner.handle
        self.number = self._kvmd.ioctl(Command.MAP, self._handle, region.address + offset, size, rw)[4]

    def peek(self, offset: int) -> tuple[int, int]:
        """Return the word at `offset` (bytes, a multiple of 4) and the number of the page frame that holds it."""
        words = self._kvmd.ioctl(Command.PEEK, self.number, offset)
        return words[2], words[3]

    def poke(self, offset: int, value: int) -> int:
        """Write a word as a driver would, and return the number of the page frame."""
        return self._kvmd.ioctl(Command.POKE, self.number, offset, value)[3]

    def unmap(self) -> None:
        """Let the pages go."""
        self._kvmd.ioctl(Command.UNMAP, self._handle, self.number)

    release = unmap
