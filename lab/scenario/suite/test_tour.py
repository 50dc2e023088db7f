"""The shortest way to see kvmd at work; the demo takes it."""

from __future__ import annotations

from lab.machine.machine import Machine
from lab.scenario.kvmd import Kvmd


def test_tour(lab_machine: Machine, kvmd: Kvmd, seed: int) -> None:
    """A kernel thread owns half as much memory again as is free, much of it in swap, and every word comes back.

    No process owns this memory, so in 2000 nobody could have swapped it. One region is larger than all memory that
    the kernel had left, so a third of it has to go to the disk while it is filled, and has to come back while it is
    looked at. How much did is counted by QEMU, not by the guest.
    """
    size = lab_machine.memory * 3 // 2
    with kvmd.open() as vmd, vmd.alloc(size) as region:
        region.fill(seed)
        filled = lab_machine.block_stats().swap
        verdict = region.verify(seed)
        assert verdict.bad_words == 0, verdict
        looked = lab_machine.block_stats().swap - filled
    elsewhere = size - lab_machine.memory
    assert filled.written_bytes >= elsewhere
    assert looked.read_bytes >= elsewhere
    left = kvmd.stats()
    assert (left.attachments, left.regions, left.maps, left.mapped_pages) == (0, 0, 0, 0)
