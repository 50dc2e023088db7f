"""Samples of a running machine, in the journal: what the guest says of its memory, what QEMU counts on the disk."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from lab.errors import MachineError, SubjectError
from lab.journal import Journal
from lab.machine.machine import Machine
from lab.machine.spec import MachineState

PERIOD = 0.05  # seconds of the host; a round trip takes less than one millisecond of it


@contextmanager
def sampled(machine: Machine, journal: Journal, *, wanted: bool) -> Iterator[None]:
    """Record a sample at the beginning and the end, and between them every PERIOD seconds if that is `wanted`.

    While the machine is stopped there is none. What goes wrong on the host is raised at the end.
    """
    done = threading.Event()
    trouble: list[Exception] = []

    def keep_sampling() -> None:
        while not (trouble or done.wait(PERIOD)):
            try:
                sample(machine, journal)
            except (MachineError, SubjectError):
                if machine.state not in (MachineState.RUNNING, MachineState.STOPPED):
                    return  # whoever waits for it hears of it
            except Exception as error:  # noqa: BLE001 - goes to the thread that waits for us
                trouble.append(error)

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
    if trouble:
        raise trouble[0]
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
