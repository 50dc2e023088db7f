"""Samples of a running machine, in the journal: what the guest says of its memory, what QEMU counts on the disk."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from lab.errors import LabError
from lab.journal import Journal
from lab.machine.machine import Machine

PERIOD = 0.05  # seconds of the host; a round trip takes less than one millisecond of it


@contextmanager
def sampled(machine: Machine, journal: Journal, *, wanted: bool) -> Iterator[None]:
    """Record a sample at the beginning and the end, and between them every PERIOD seconds if that is `wanted`."""
    done = threading.Event()

    def keep_sampling() -> None:
        while not done.wait(PERIOD):
            try:
                sample(machine, journal)
            except LabError:
                return  # the machine died; whoever waits for it hears of it

    thread = threading.Thread(target=keep_sampling, name="sampler", daemon=True)
    sample(machine, journal)
    if wanted:
        thread.start()
    try:
        yield
    finally:
        done.set()
        if wanted:
            thread.join()
    sample(machine, journal)


def sample(machine: Machine, journal: Journal) -> None:
    """Record one sample: the clock (s), free memory and used swap (KiB), swap traffic (bytes since the restore)."""
    now = machine.agent.time()
    memory = machine.agent.sysinfo()
    swap = machine.block_stats().swap
    journal.record(
        "sample",
        source="machine",
        guest=now.seconds + now.microseconds / 1e6,
        total_kib=memory.totalram * memory.mem_unit >> 10,
        free_kib=memory.freeram * memory.mem_unit >> 10,
        swap_kib=memory.totalswap * memory.mem_unit >> 10,
        swap_used_kib=(memory.totalswap - memory.freeswap) * memory.mem_unit >> 10,
        swap_read=swap.read_bytes,
        swap_written=swap.written_bytes,
    )
