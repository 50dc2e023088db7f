"""Regions that become larger and smaller: what the RFC of 2000 wished for, a file that grows in virtual memory."""

from __future__ import annotations

import errno
import random

import pytest

from lab.machine.machine import Machine
from lab.machine.rpc import RefusedError
from lab.scenario.kvmd import Kvmd
from lab.scenario.pressure import apply_pressure, apply_pressure_until, in_frames, spare_slots
from lab.scenario.room import free_bytes

PAGE = 4096
MIB = 1 << 20


def test_grow_moves_what_is_in_swap_without_reading_it(lab_machine: Machine, kvmd: Kvmd, seed: int) -> None:
    """A region with its data on the disk grows, has to move for it, and keeps every word, unread.

    Between two neighbours there is no room, so the region gets another address. In 2000 the easy way was to allocate
    a second one and copy, which brings all of the data into RAM, just when RAM is what is short. The page table's
    entries can move instead, also those that name a swap slot: QEMU counts what was read meanwhile.
    """
    with kvmd.open() as vmd:
        neighbours = [vmd.alloc(MIB) for _ in range(3)]
        region = neighbours[1]
        old = region.address
        region.fill(seed)
        apply_pressure(lab_machine, seed)  # what this leaves in the swap cache goes with the next one
        apply_pressure_until(lab_machine, seed, lambda seen: in_frames(seen) <= MIB * 3 // 8)
        before = lab_machine.block_stats().swap.read_bytes
        region.resize(3 * MIB)
        assert lab_machine.block_stats().swap.read_bytes - before < MIB // 4
        assert region.address != old
        assert region.verify_part(seed, MIB) == 0
        assert lab_machine.block_stats().swap.read_bytes - before >= MIB // 2


def test_new_part_of_a_grown_region_is_zero(kvmd: Kvmd, seed: int) -> None:
    """What shrinks away is gone for good: when the region grows again, its new pages are zero, not the old data.

    A page that a driver gave back may hold somebody's secrets, and the page table is the only one to know.
    """
    with kvmd.open() as vmd:
        region = vmd.alloc(8 * PAGE)
        region.fill(seed)
        for size in (3 * PAGE, 8 * PAGE):
            region.resize(size)
        assert region.verify_part(seed, 3 * PAGE) == 0
        with region.map(offset=3 * PAGE) as held:
            assert [held.peek(offset)[0] for offset in range(0, 5 * PAGE, 1024)] == [0] * 20


def test_shrink_gives_frames_and_swap_back(lab_machine: Machine, kvmd: Kvmd, seed: int) -> None:
    """A region that shrinks gives its end back at once: the swap slots of 8 MiB are free before anything is closed."""
    agent = lab_machine.agent
    memory = lab_machine.memory
    with kvmd.open() as vmd:
        region = vmd.alloc(memory)
        region.fill(seed)
        full, free = agent.sysinfo(), free_bytes(lab_machine)
        region.resize(memory // 4)
        left = agent.sysinfo()
        freed = free_bytes(lab_machine) - free + (left.freeswap - full.freeswap) * left.mem_unit
        assert freed >= memory * 3 // 4 - MIB // 2 - spare_slots(lab_machine)
        assert region.verify(seed).bad_words == 0


def test_mapped_pages_stop_what_would_take_them_away(kvmd: Kvmd, seed: int) -> None:
    """Held pages neither move nor go: such calls are refused with EBUSY, change nothing, and work after the unmap.

    A driver may have given the frames to a device, and the addresses to whoever it works for.
    """
    with kvmd.open() as vmd:
        below, region, above = (vmd.alloc(8 * PAGE) for _ in range(3))
        region.fill(seed)
        before = kvmd.proc()
        with region.map(offset=5 * PAGE, size=PAGE) as held:
            frame = held.peek(0)[1]
            for size in (5 * PAGE, 64 * PAGE):
                with pytest.raises(RefusedError) as refusal:
                    region.resize(size)
                assert refusal.value.status == -errno.EBUSY
            region.resize(6 * PAGE)
            assert held.peek(0)[1] == frame
        after = kvmd.proc()
        assert after["refused_shrink_mapped"] - before["refused_shrink_mapped"] == 1
        assert after["refused_grow_mapped"] - before["refused_grow_mapped"] == 1
        for size in (64 * PAGE, 5 * PAGE):
            region.resize(size)
        assert region.verify(seed).bad_words == 0
        assert [each.size for each in (below, above)] == [8 * PAGE] * 2


def test_a_region_with_room_behind_it_grows_while_it_is_mapped(kvmd: Kvmd, seed: int) -> None:
    """Where nothing has to move, a region grows under a driver's hands: the frame that it holds stays the same."""
    with kvmd.open() as vmd:
        region, gap = vmd.alloc(4 * PAGE), vmd.alloc(4 * PAGE)
        if gap.address < region.address:  # today's kernels fill from above
            region, gap = gap, region
        gap.free()
        region.fill(seed)
        address = region.address
        with region.map(size=PAGE) as held:
            frame = held.peek(0)[1]
            region.resize(8 * PAGE)
            assert held.peek(0)[1] == frame
        assert region.address == address
        assert region.verify_part(seed, 4 * PAGE) == 0


@pytest.mark.parametrize("has", [0, 3 * PAGE, 5 * PAGE])
def test_wrong_size_is_refused(kvmd: Kvmd, has: int) -> None:
    """Only who knows what a region is may change it: a size that it does not have is EINVAL, and nothing changes."""
    with kvmd.open() as vmd:
        region = vmd.alloc(4 * PAGE)
        region.size = has
        for size in (2 * PAGE, 64 * PAGE):
            with pytest.raises(RefusedError) as refusal:
                region.resize(size)
            assert refusal.value.status == -errno.EINVAL
        region.size = 4 * PAGE
        region.resize(2 * PAGE)


def test_what_does_not_fit_is_refused_and_changes_nothing(kvmd: Kvmd, seed: int) -> None:
    """More than the address space is EINVAL, more than RAM and swap is ENOMEM; the region stays as it was."""
    with kvmd.open() as vmd:
        region = vmd.alloc(4 * PAGE)
        region.fill(seed)
        for size, status in ((0xC0001000, -errno.EINVAL), (0x40000000, -errno.ENOMEM)):
            with pytest.raises(RefusedError) as refusal:
                region.resize(size)
            assert refusal.value.status == status
        assert (region.size, region.verify(seed).bad_words) == (4 * PAGE, 0)


def test_many_random_sizes_keep_what_stays(lab_machine: Machine, kvmd: Kvmd, seed: int) -> None:
    """Four regions grow and shrink in turn, forty times, under pressure; each keeps what it should, word by word."""
    choice = random.Random(seed)
    lab_machine.agent.spawn().mem_pressure(lab_machine.memory // 2, seed)
    with kvmd.open() as vmd:
        regions = [vmd.alloc(256 << 10) for _ in range(4)]
        for number, region in enumerate(regions):
            region.fill(seed + number)
        for _ in range(40):
            number = choice.randrange(4)
            region = regions[number]
            stays = min(region.size, size := choice.randint(1, 512) * PAGE)
            region.resize(size)
            assert region.verify_part(seed + number, stays) == 0
            region.fill(seed + number)
        for number, region in enumerate(regions):
            assert region.verify(seed + number).bad_words == 0
    assert kvmd.proc()["regions"] == 0
