"""Nothing leaks: free memory, used swap and the slab caches are where they were, after thousands of rounds."""

from __future__ import annotations

import msgspec
import pytest

from lab.machine.agent import rounds_done
from lab.machine.machine import Machine
from lab.machine.pattern import PAGE_SIZE
from lab.scenario.acts import left_over
from lab.scenario.kvmd import DEDICATED, Kvmd
from lab.scenario.pressure import spare_slots, storm

WARM_UP = 100
SLACK_OBJECTS = 60  # of one slab cache; the processes that look at it are objects as well
SLACK_KIB = 160
CACHED_KIB = 2048  # an eighth of what a region that is not given back would keep
# Of pages that went to swap some keep their buffers for a while. kmemleak has an object for each object of any other
# cache, all slacks together; those caches are looked at one by one.
BY_CHANCE = {"buffer_head", "kmemleak_object"}


class Room(msgspec.Struct, frozen=True):
    """What the system has left, and how many objects each slab cache has handed out.

    `cached_kib` of what is used of swap stands in the swap cache: it counts as free memory, and as swap all the same.
    """

    free_kib: int
    swap_kib: int
    cached_kib: int
    slabs: dict[str, int]


def _room(machine: Machine) -> Room:
    info = machine.agent.sysinfo()
    kept, cached = _nobodys(machine) if machine.spec.today else (0, 0)
    return Room(
        ((info.freeram + info.bufferram) * info.mem_unit >> 10) + kept + cached,
        (info.totalswap - info.freeswap) * info.mem_unit >> 10,
        cached,
        _slabs(machine.agent.read_file("/proc/slabinfo").decode()),
    )


def _nobodys(machine: Machine) -> tuple[int, int]:
    """Return how many KiB a kernel of today counts as used that are nobody's: kept by processors, and cached from swap.

    Each processor keeps some free pages for itself, up to the zone's low watermark in all (6.1, mm/page_alloc.c,
    zone_highsize): half a MiB of a guest of 28 MiB. And what a process had in swap stays in the swap cache for a while
    after its end, with its slot: mostly up to 860 KiB of it were seen there after a flood, once in some forty looks
    more than a MiB: as much less is free, and more in swap. What is more than CACHED_KIB is somebody's all the same.
    """
    zones = machine.agent.read_file("/proc/zoneinfo").decode().splitlines()
    kept = sum(int(words[1]) for line in zones if (words := line.split())[:1] == ["count:"])
    memory = machine.agent.read_file("/proc/meminfo").decode().splitlines()
    cached = next(int(line.split()[1]) for line in memory if line.startswith("SwapCached:"))
    return kept * PAGE_SIZE >> 10, min(cached, CACHED_KIB)


def _slabs(text: str) -> dict[str, int]:
    """Return the objects in use of each cache: name, objects in use, and more on each line but the heading."""
    lines = [line.split() for line in text.splitlines()]
    return {words[0]: int(words[1]) for words in lines if len(words) > 3 and words[1].isdigit()}


def _grown(before: Room, after: Room) -> dict[str, int]:
    """Return the caches that have more objects in use than before, beyond the slack, and by how many."""
    growth = {name: count - before.slabs.get(name, 0) for name, count in after.slabs.items()}
    return {name: count for name, count in growth.items() if count > SLACK_OBJECTS and name not in BY_CHANCE}


# regions of a page, of many, of so many that their pin counts come in two pieces; and threads of their own
@pytest.mark.parametrize(
    ("rounds", "size", "flags"),
    [
        pytest.param(6000, 2 * PAGE_SIZE, 0, id="small"),
        pytest.param(2000, 12 << 20, 0, id="large"),
        pytest.param(2000, 3 * PAGE_SIZE, DEDICATED, id="own"),
    ],
)
def test_10000_rounds_from_open_to_close_leave_nothing(
    lab_machine: Machine, kvmd: Kvmd, rounds: int, size: int, flags: int, seed: int
) -> None:
    """Open, alloc, map, write, look, unmap, free, close, ten thousand times in all: memory, swap and slabs are back.

    A leak of 32 bytes a round would not be seen once; ten thousand times it is 300 KiB, or ten thousand objects of a
    slab cache. The first rounds are for what grows once and stays: caches, page tables.
    """
    rounds_done(kvmd.worker.kvmd_rounds(WARM_UP, size, seed, flags=flags))
    before = _room(lab_machine)
    threads = kvmd.stats().threads
    done = rounds_done(kvmd.worker.kvmd_rounds(rounds, size, seed, flags=flags))
    assert (done.done, done.wrong) == (rounds, 0)
    after = _room(lab_machine)
    assert _grown(before, after) == {}
    assert after.free_kib >= before.free_kib - SLACK_KIB
    assert after.swap_kib <= before.swap_kib
    assert left_over(kvmd.stats()) == {}
    assert kvmd.stats().threads == threads


@pytest.mark.parametrize("ending", ["free", "close", "own"])
def test_memory_and_swap_of_swapped_regions_come_back(lab_machine: Machine, kvmd: Kvmd, ending: str, seed: int) -> None:
    """Regions that are mostly in swap are freed, or closed with their attachment or thread: all of it is free again.

    Measured after a storm both times, since 2.3 keeps a slot that a page in memory still has a copy of. Of today's
    kernels what stands in the swap cache is taken off: from one time to the other swap grew by 828 KiB at the most and
    shrank by 768, without the cache 388 and 488.
    """
    size = lab_machine.memory
    _fill_and_end(kvmd, ending, size // 4, seed)
    storm(lab_machine, seed)
    before = _room(lab_machine)
    for turn in range(2):
        _fill_and_end(kvmd, ending, size, seed + turn)
    storm(lab_machine, seed)
    after = _room(lab_machine)
    grown = (after.swap_kib - after.cached_kib) - (before.swap_kib - before.cached_kib)
    assert grown <= max(2 * SLACK_KIB, spare_slots(lab_machine) >> 10)
    assert after.free_kib >= before.free_kib - 2 * SLACK_KIB
    assert _grown(before, after) == {}
    assert left_over(kvmd.stats()) == {}


def _fill_and_end(kvmd: Kvmd, ending: str, size: int, seed: int) -> None:
    owner = kvmd.open(DEDICATED if ending == "own" else 0)
    regions = [owner.alloc(size // 2) for _ in range(2)]
    for region in regions:
        region.fill(seed)
    if ending == "free":
        for region in regions:
            region.free()
    owner.close()
