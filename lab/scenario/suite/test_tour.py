"""The shortest way to see kvmd at work; the demo takes it."""

from __future__ import annotations

from lab.machine.machine import Machine
from lab.scenario.kvmd import Kvmd


def test_tour(lab_machine: Machine, kvmd: Kvmd, seed: int) -> None:
    """A kernel thread owns as much memory as the guest has, most of it in swap, and every word comes back.

    No process owns this memory, so in 2000 nobody could have swapped it. One region is as large as the RAM; the kernel
    and this test are in there too, so some of it has to go to the disk while it is filled, and has to come back while
    it is looked at. How much did is counted by QEMU, not by the guest.
    """
    ram = lab_machine.spec.ram_mib << 20
    with kvmd.open() as vmd, vmd.alloc(ram) as region:
        region.fill(seed)
        filled = lab_machine.block_stats().swap
        verdict = region.verify(seed)
        assert verdict.bad_words == 0, verdict
        looked = lab_machine.block_stats().swap - filled
    memory = lab_machine.agent.sysinfo()
    elsewhere = ram - memory.totalram * memory.mem_unit  # what the kernel took at boot can't hold any of the region
    assert filled.written_bytes >= elsewhere
    assert looked.read_bytes >= elsewhere
    left = kvmd.stats()
    assert (left.attachments, left.regions, left.maps, left.mapped_pages) == (0, 0, 0, 0)
