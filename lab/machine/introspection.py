"""What the guest can't lie about: its kernel's own lists, page tables and swap map, and the swap disk, read by QEMU.

    with introspect(machine) as seen:
        assert sum(server.users for server in seen.servers()) == 3
        assert seen.slots_in_use() == 17

The guest stands still meanwhile. Where things lie in the kernel's structures the kernel says itself, in the constants
`kvmd_layout` (kvmd/kvmd_pool.c) and `kvmd_swap_layout` (kvmd/kvmd_pin.c, kvmd/compat/swap_layout.c); they were made by
the compiler that made the structures. i386 without PAE.
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
_NO_SLOT, _CACHED = 0xFFFFFFF8, 2  # an entry of a cluster's table (7.2, mm/swap_table.h)


class Layout(msgspec.Struct, frozen=True):
    """Offsets in bytes."""

    server_users: int
    server_mm: int
    mm_pgd: int
    mm_total_vm: int


class SwapLayout(msgspec.Struct, frozen=True):
    """Where a swap area says which of its slots are used: offsets in bytes, and the size of a slot's entry.

    The entries are 2 bytes in 2000 and 1 up to 6.12, in one map. Later they are words, in one table for each cluster
    of `cluster_slots`, and the number of users begins at bit `count_shift`.
    """

    swap_max: int
    swap_map: int
    slot_bytes: int
    cluster_bytes: int
    cluster_table: int
    cluster_slots: int
    count_shift: int

    @property
    def slot_shift(self) -> int:
        """Where a swapped page's entry of the page table holds the number of its slot: in 2000, and today."""
        return 8 if self.slot_bytes == 2 else 9

    def users(self, slot: int) -> int:
        """Turn an entry of the swap map into the number of its users, the swap cache among them; -1: no slot."""
        if self.slot_bytes == 2:
            return -1 if slot & 0x8000 else slot
        if self.slot_bytes == 1:
            return -1 if slot & 0x3F == 0x3F else (slot & 0x3F) + (slot >> 6 & 1)
        if slot == _NO_SLOT:
            return -1
        return (slot >> self.count_shift) + (slot & 3 == _CACHED)

    def held(self, slot: int) -> bool:
        """Tell whether a process has a slot; in 2000 the map does not tell the swap cache from processes."""
        if self.slot_bytes == 4:
            return slot != _NO_SLOT and slot >> self.count_shift > 0
        return self.users(slot) > 0 and (self.slot_bytes == 2 or slot & 0x3F > 0)


class Server(msgspec.Struct, frozen=True):
    """A thread of kvmd: its attachments, the pages of its address space, and where each that exists is.

    `frames` and `slots` map a page's address to the number of its page frame or of its swap slot.
    """

    users: int
    pages: int
    frames: dict[int, int]
    slots: dict[int, int]


class Introspection:
    """A look at a stopped guest. `frame` and `slot` return the bytes of a page frame and of a swap slot."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._symbols = machine.symbols
        self._ram = machine.pmemsave(0, machine.spec.ram_mib << 20)
        self._kernel_pgd = self._address("swapper_pg_dir")
        self.layout = Layout(*self._constants("kvmd_layout", len(Layout.__struct_fields__)))
        self._swap = SwapLayout(*self._constants("kvmd_swap_layout", len(SwapLayout.__struct_fields__)))

    def servers(self) -> list[Server]:
        """Return the threads of the pool and those of one attachment each."""
        return [self._server(node) for name in ("kvmd_pool", "kvmd_own") for node in self._list(self._address(name))]

    def slot_users(self) -> list[int]:
        """Return how many users each slot of the first swap area has; -1 where there is no slot."""
        return [self._swap.users(slot) for slot in self._swap_map()]

    def slots_in_use(self) -> int:
        """Return the number of slots that somebody uses: a process, or the swap cache alone."""
        return sum(users > 0 for users in self.slot_users())

    def slots_held(self) -> int:
        """Return the number of slots that processes have: what the swap cache still has of the dead is not among them.

        Neither are the free slots that today's processors keep at hand. Both are nobody's, and in 2000 the former
        count all the same.
        """
        return sum(map(self._swap.held, self._swap_map()))

    def _swap_map(self) -> tuple[int, ...]:
        area, layout = self._address("swap_info"), self._swap
        if layout.slot_bytes != 2:  # a table of pointers to areas today, of areas then
            area = self._word(area)
        count, table = self._word(area + layout.swap_max), self._word(area + layout.swap_map)
        if layout.cluster_slots:
            return tuple(self._clusters(table, count))
        form = f"<{count}{'H' if layout.slot_bytes == 2 else 'B'}"
        return struct.unpack(form, self._read(table, struct.calcsize(form)))

    def _clusters(self, place: int, count: int) -> Iterator[int]:
        """Yield the entries of `count` slots; a cluster of which no slot is used may have no table."""
        layout = self._swap
        for first in range(0, count, layout.cluster_slots):
            slots = min(layout.cluster_slots, count - first)
            table = self._word(place + first // layout.cluster_slots * layout.cluster_bytes + layout.cluster_table)
            yield from self._words(table, slots) if table else (0,) * slots

    def _constants(self, name: str, count: int) -> tuple[int, ...]:
        return self._words(self._address(name), count)

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
                slots[address] = entry >> self._swap.slot_shift
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
def introspect(machine: Machine) -> Iterator[Introspection]:
    """Stop the guest and look at it; afterwards it goes on."""
    machine.stop()
    try:
        yield Introspection(machine)
    finally:
        machine.cont()
