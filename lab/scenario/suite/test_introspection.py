"""What kvmd and the kernel say of themselves, and what is found in the guest's memory and on its disk."""

from __future__ import annotations

from lab.machine.introspection import Introspection, Server, introspect
from lab.machine.machine import Machine
from lab.machine.pattern import PAGE_SIZE, page
from lab.scenario.kvmd import DEDICATED, Kvmd
from lab.scenario.pressure import apply_pressure_until, in_frames

SIZE = 4 << 20


def test_kernels_lists_and_swap_map_agree_with_what_it_says(lab_machine: Machine, kvmd: Kvmd, seed: int) -> None:
    """Threads, attachments, regions and swap slots, counted in the kernel's own structures, are those that it tells of.

    Each word of the regions is found by way of the threads' page tables: in a page frame, or in a slot on the disk.
    A slot that no page table names, or that two do, would be a leak or another one's data soon.
    """
    with kvmd.open() as vmd, kvmd.open(DEDICATED) as own:
        regions = [vmd.alloc(SIZE), own.alloc(SIZE)]
        for number, region in enumerate(regions):
            region.fill(seed + number)
        apply_pressure_until(lab_machine, seed, lambda seen: in_frames(seen) <= SIZE)  # half of them
        says = kvmd.stats()
        memory = lab_machine.agent.sysinfo()
        with introspect(lab_machine) as seen:
            servers = seen.servers()
            assert len(servers) == says.threads
            assert sum(server.users for server in servers) == says.attachments
            assert sum(server.pages for server in servers) * PAGE_SIZE == says.region_bytes
            assert seen.slots_in_use() * PAGE_SIZE == (memory.totalswap - memory.freeswap) * memory.mem_unit
            pooled, dedicated = [server for server in servers if server.users]
            for number, server in enumerate((pooled, dedicated)):
                _check_pages(seen, server, regions[number].address, seed + number)
            slots = [*pooled.slots.values(), *dedicated.slots.values()]
            assert len(slots) == len(set(slots))
            assert SIZE // PAGE_SIZE <= len(slots) <= seen.slots_held() <= seen.slots_in_use()
        for number, region in enumerate(regions):
            assert region.verify(seed + number).bad_words == 0
    says = kvmd.stats()
    with introspect(lab_machine) as seen:
        servers = seen.servers()
        assert len(servers) == says.threads
        assert [server for server in servers if server.users or server.pages or server.frames or server.slots] == []


def _check_pages(seen: Introspection, server: Server, start: int, seed: int) -> None:
    """Compare every page of a region with its pattern, in RAM or on the disk; what is on its way is in neither yet."""
    assert len(server.frames) + len(server.slots) == SIZE // PAGE_SIZE
    for address, number in server.frames.items():
        assert seen.frame(number) == page(seed, (address - start) // PAGE_SIZE)
    users = seen.slot_users()
    for address, number in server.slots.items():
        assert users[number] > 0, f"slot {number} is taken for free, but {address:#x} is there"
        if users[number] == 1:
            assert seen.slot(number) == page(seed, (address - start) // PAGE_SIZE)
