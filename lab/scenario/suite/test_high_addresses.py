"""Addresses above 2 GiB, which look like error numbers to a careless caller."""

from __future__ import annotations

from lab.machine.machine import Machine
from lab.scenario.kvmd import DEDICATED, Attachment, Kvmd, Region
from lab.scenario.pressure import apply_pressure

PAGE = 4096
TWO_GIB = 1 << 31
SIZE = 1 << 20


def test_region_above_2_gib_is_as_good_as_any(lab_machine: Machine, kvmd: Kvmd, seed: int) -> None:
    """A region beyond 2 GiB, and one that lies across the border, are filled, swapped, held, verified and freed.

    As a signed number such an address is negative. Code that takes every negative answer of do_mmap for an error works
    until the first gigabyte of a thread's address space is used up. A kernel of today fills it from the top downward.
    """
    lab_machine.agent.write_file("/proc/sys/vm/overcommit_memory", b"1")
    with kvmd.open(DEDICATED) as vmd:
        across = _beyond(vmd)
        above = next(region for region in iter(lambda: vmd.alloc(SIZE), None) if region.address >= TWO_GIB)
        above.fill(seed)
        offset = max(0, TWO_GIB - across.address - 8 * PAGE) if across.address < TWO_GIB else 0
        with across.map(offset=offset, size=16 * PAGE) as border:
            written = [border.poke(page * PAGE, seed + page) for page in range(16)]
        apply_pressure(lab_machine, seed)
        verdict = above.verify(seed)
        assert verdict.bad_words == 0, verdict
        with across.map(offset=offset, size=16 * PAGE) as border:
            assert [border.peek(page * PAGE)[0] for page in range(16)] == [seed + page for page in range(16)]
        assert len(set(written)) == 16
        above.free()
        across.free()
    left = kvmd.stats()
    assert (left.attachments, left.regions, left.maps, left.refused) == (0, 0, 0, 0)


def _beyond(vmd: Attachment) -> Region:
    """A region that reaches across 2 GiB, or lies above it; what is below is used up first, without touching it."""
    region = vmd.alloc(SIZE)
    if region.address >= TWO_GIB:
        return region
    region.free()
    return vmd.alloc(TWO_GIB - region.address + SIZE)
