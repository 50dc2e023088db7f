"""Ordinary memory of ordinary processes: the ground that kvmd stands on."""

from __future__ import annotations

from lab.machine.agent import Worker
from lab.machine.machine import Machine

PAGE = 4096


def test_user_memory(lab_machine: Machine, worker: Worker, seed: int) -> None:
    """A process fills half as much memory again as is free, and finds every word of it again.

    A third of the pages must be on the swap disk at any time; each comes back when it is looked at, and
    another one has to go. What went out and came in is counted by QEMU, not by the guest.
    """
    size = lab_machine.memory * 3 // 2
    address = worker.mem_map(size)
    worker.mem_fill(address, size, seed)
    for _ in range(2):
        verdict = worker.mem_verify(address, size, seed)
        assert verdict.bad_words == 0, verdict
    must_leave = size - lab_machine.memory
    swap = lab_machine.block_stats().swap
    assert swap.written_bytes >= must_leave
    assert swap.read_bytes >= must_leave
