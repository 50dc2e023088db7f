"""Memory that belongs to no process survives being swapped."""

from __future__ import annotations

from lab.machine.machine import Machine
from lab.scenario.kvmd import Kvmd


def test_kvmd_regions(lab_machine: Machine, kvmd: Kvmd, seed: int) -> None:
    """Regions of kvmd, twice the memory that is free, keep every word while everything else wants memory too.

    In 2000 only a process could own memory that the kernel swaps; a file system like tmpfs had none. kvmd's threads are
    such owners. The driver maps a window of a region, works in it, lets it go, and meanwhile everything else may be
    thrown out. At least half of the data is on the disk at any time, so filling must write that much, and each of the
    two passes that look at all of it must read that much. What was written and read is counted by QEMU.
    """
    memory = lab_machine.memory
    pressure = lab_machine.agent.spawn()
    with kvmd.open() as vmd:
        regions = [vmd.alloc(memory) for _ in range(2)]
        for number, region in enumerate(regions):
            region.fill(seed + number)
        assert pressure.mem_pressure(memory // 2, seed).bad_words == 0
        for _ in range(2):
            before = lab_machine.block_stats().swap
            for number, region in enumerate(regions):
                verdict = region.verify(seed + number)
                assert verdict.bad_words == 0, verdict
            assert (lab_machine.block_stats().swap - before).read_bytes >= memory
    assert lab_machine.block_stats().swap.written_bytes >= memory
    left = kvmd.stats()
    assert (left.attachments, left.regions, left.maps, left.mapped_pages) == (0, 0, 0, 0)
