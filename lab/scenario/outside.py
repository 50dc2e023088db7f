"""What the guest can't lie about: its kernel's own lists, page tables and swap map, and the swap disk, read by QEMU.

    with look(machine) as seen:
        assert sum(server.users for server in seen.servers()) == 3
        assert seen.slots_in_use() == 17

The guest stands still meanwhile. Where things lie in the kernel's structures the kernel says itself, in the constant
`kvmd_layout` (kvmd/kvmd_pool.c); it was made by the compiler that made the structures. i386 without PAE.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from lab.errors import SubjectError
from lab.machine.machine import Machine
from lab.machine.pattern import PAGE_SIZE

PAGE_OFFSET = 0xC0000000
_PRESENT, _LARGE = 1, 1 << 7
_TABLE = 1024


class Layout(msgspec.Struct, frozen=True):
    """Offsets in bytes; `slot_bytes` is the size of an entry of the swap map."""

    server_users: int
    server_mm: int
    mm_pgd: int
    mm_total_vm: int
    swap_max: int
    swap_map: int
    slot_bytes: int

    @property
    def slot_shift(self) -> int:
        """Where a swapped page's entry of the page table holds the number of its slot: in 2000, and today."""
        return 8 if self.slot_bytes == 2 else 9

    def users(self, slot: int) -> int:
        """Turn an entry of the swap map into the number of its users, the swap cache among them; -1: no slot."""
        if self.slot_bytes == 2:
            return -1 if slot & 0x8000 else slot
        return -1 if slot & 0x3F == 0x3F else (slot & 0x3F) + (slot >> 6 & 1)

    def held(self, slot: int) -> bool:
        """Tell whether a process has a slot; in 2000 the map does not tell the swap cache from processes."""
        return self.users(slot) > 0 and (self.slot_bytes == 2 or slot & 0x3F > 0)


class Server(msgspec.Struct, frozen=True):
    """A thread of kvmd: its attachments, the pages of its address space, and where each that exists is.

    `frames` and `slots` map a page's address to the number of its page frame or of its swap slot.
    """

    users: int
    pages: int
    frames: dict[int, int]
    slots: dict[int, int]


class Sight:
    """A look at a stopped guest. `frame` and `slot` return the bytes of a page frame and of a swap slot."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._symbols = machine.symbols
        self._ram = machine.pmemsave(0, machine.spec.ram_mib << 20)
        self._kernel_pgd = self._address("swapper_pg_dir")
        names = Layout.__struct_fields__
        self.layout = Layout(*self._words(self._address("kvmd_layout"), len(names)))

    def servers(self) -> list[Server]:
        """Return the threads of the pool and those of one attachment each."""
        return [self._server(node) for name in ("kvmd_pool", "kvmd_own") for node in self._list(self._address(name))]

    def slot_users(self) -> list[int]:
        """Return how many users each slot of the first swap area has; -1 where there is no slot."""
        return [self.layout.users(slot) for slot in self._swap_map()]

    def slots_in_use(self) -> int:
        """Return the number of slots that somebody uses: a process, or the swap cache alone."""
        return sum(users > 0 for users in self.slot_users())

    def slots_held(self) -> int:
        """Return the number of slots that processes have: what the swap cache still has of the dead is not among them.

        Neither are the free slots that today's processors keep at hand. Both are nobody's, and in 2000 the former
        count all the same.
        """
        return sum(map(self.layout.held, self._swap_map()))

    def _swap_map(self) -> tuple[int, ...]:
        area = self._address("swap_info")
        if self.layout.slot_bytes == 1:  # a table of pointers to areas today, of areas then
            area = self._word(area)
        count, table = self._word(area + self.layout.swap_max), self._word(area + self.layout.swap_map)
        form = f"<{count}{'H' if self.layout.slot_bytes == 2 else 'B'}"
        return struct.unpack(form, self._read(table, struct.calcsize(form)))

    def frame(self, number: int) -> bytes:
        """Return the contents of a page frame."""
        return self._ram[number * PAGE_SIZE : (number + 1) * PAGE_SIZE]

    def slot(self, number: int) -> bytes:
        """Return what the disk has in a slot."""
        return self._machine.swap_contents(number * PAGE_SIZE, PAGE_SIZE)

    def _server(self, node: int) -> Server:
        mm = self._word(node + self.layout.server_mm)
        frames: dict[int, int] = {}
        slots: dict[int, int] = {}
        for address, entry in self._entries(self._word(mm + self.layout.mm_pgd)):
            if entry & _PRESENT:
                frames[address] = entry // PAGE_SIZE
            else:
                slots[address] = entry >> self.layout.slot_shift
        users = self._word(node + self.layout.server_users)
        return Server(users, self._word(mm + self.layout.mm_total_vm), frames, slots)

    def _entries(self, pgd: int) -> Iterator[tuple[int, int]]:
        """Yield address and entry of each page in the user's part of an address space."""
        for upper, table in enumerate(self._words(pgd, PAGE_OFFSET >> 22)):
            if table & _PRESENT:
                place = table & -PAGE_SIZE
                entries = struct.unpack_from(f"<{_TABLE}I", self._ram, place)
                yield from ((upper << 22 | lower << 12, entry) for lower, entry in enumerate(entries) if entry)

    def _list(self, head: int) -> Iterator[int]:
        """Yield the nodes of one of the kernel's lists."""
        node = self._word(head)
        while node != head:
            yield node
            node = self._word(node)

    def _address(self, name: str) -> int:
        address = self._symbols.address(name)
        if address is None:
            raise SubjectError(f"the kernel has no symbol {name}", doing="looking into the guest's memory")
        return address

    def _word(self, address: int) -> int:
        return self._words(address, 1)[0]

    def _words(self, address: int, count: int) -> tuple[int, ...]:
        return struct.unpack(f"<{count}I", self._read(address, 4 * count))

    def _read(self, address: int, size: int) -> bytes:
        """Read the kernel's memory page by page, since what vmalloc gives is scattered."""
        data = b""
        while len(data) < size:
            place = self._physical(address + len(data))
            data += self._ram[place : place + min(size - len(data), PAGE_SIZE - place % PAGE_SIZE)]
        return data

    def _physical(self, address: int) -> int:
        if PAGE_OFFSET <= address < PAGE_OFFSET + len(self._ram):
            return address - PAGE_OFFSET
        (upper,) = struct.unpack_from("<I", self._ram, self._kernel_pgd - PAGE_OFFSET + 4 * (address >> 22))
        if upper & _PRESENT and upper & _LARGE:
            return int(upper & 0xFFC00000 | address & 0x3FFFFF)
        if upper & _PRESENT:
            (lower,) = struct.unpack_from("<I", self._ram, (upper & -PAGE_SIZE) + 4 * (address >> 12 & _TABLE - 1))
            if lower & _PRESENT:
                return int(lower & -PAGE_SIZE | address % PAGE_SIZE)
        raise SubjectError(f"the kernel has nothing at {address:#x}", doing="looking into the guest's memory")


@contextmanager
def look(machine: Machine) -> Iterator[Sight]:
    """Stop the guest and look at it; afterwards it goes on."""
    machine.stop()
    try:
        yield Sight(machine)
    finally:
        machine.cont()
