"""One core for a process and all that it starts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


def pin(number: int) -> None:
    """Keep this process and the QEMUs that it starts on one core, the `number`th of those that may be used, in turn.

    A guest and whoever talks to it take turns, as QEMU's own threads do: side by side on two cores each turn waits for
    the other core to wake up, and both cores are lost to the next process.
    """
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[number % len(cores)]})


@contextmanager
def pinned(number: int) -> Iterator[None]:
    """Keep this thread and the processes that it starts on one core meanwhile, as `pin` does."""
    cores = os.sched_getaffinity(0)
    pin(number)
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)
