"""How much a write to the swap disk takes along: a scenario for `kvmd-lab bisect`."""

from __future__ import annotations

from lab.machine.machine import Machine

KIB = 24  # a page has 4


def test_pages_that_go_to_swap_share_their_writes(lab_machine: Machine, seed: int) -> None:
    """A process fills half as much memory again as there is: what goes to swap goes in writes of several pages."""
    worker = lab_machine.agent.spawn()
    before = lab_machine.block_stats()
    assert worker.mem_pressure(lab_machine.memory * 3 // 2, seed, passes=0).bad_words == 0
    swap = (lab_machine.block_stats() - before).swap
    assert swap.written_bytes / swap.writes >= KIB << 10, swap
