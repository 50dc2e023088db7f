"""Faults in the swap disk of a running machine: errors on reads or writes, and slowness, put in and taken out by QMP.

For errors a filter node is slid between the disk's overlay and its file, and taken out again at the end of the `with`;
slowness is a limit of the disk itself. The guest sees what a dying or a busy disk would show: the command fails with an
error, or takes its time.
"""

from __future__ import annotations

import errno
import itertools
from collections.abc import Iterator
from contextlib import contextmanager

from lab.errors import LabError
from lab.machine.machine import Machine

# The overlay's own tables are no part of the guest's disk: what happens to them puts an end to the last event's errors.
_BOOKKEEPING = ("l2_update", "l2_alloc_write", "refblock_update", "refblock_update_part", "refblock_load", "l2_load")
_NOWHERE = 1 << 40
_NUMBERS = itertools.count(1)


@contextmanager
def failing(machine: Machine, *, reads: bool = False, writes: bool = False, times: int | None = None) -> Iterator[None]:
    """Let transfers of the swap disk fail with EIO; all of them, or only the next `times` (which are then retried)."""
    events = [name for name, wanted in (("read_aio", reads), ("write_aio", writes)) if wanted]
    once = {} if times is None else {"once": True}
    rules = [
        {"event": event, "iotype": event.removesuffix("_aio"), "errno": errno.EIO, **once}
        for event in events
        for _ in range(times or 1)
    ]
    rules += [{"event": event, "sector": _NOWHERE, "errno": errno.EIO} for event in _BOOKKEEPING]
    name = f"swap-errors-{next(_NUMBERS)}"
    node = {"driver": "blkdebug", "node-name": name, "image": "swap-file", "inject-error": rules}
    machine.qmp("blockdev-add", node)
    with _between(machine, name):
        yield


@contextmanager
def slowed(machine: Machine, rate: int) -> Iterator[None]:
    """Let the swap disk move at most `rate` bytes a second of the host's time; in the end it goes on at once.

    A request is let through and then paid for: at 1 a second the next one waits for an hour, so the disk stands still.
    For a machine that skips idle time the disk is slower still: while it waits, its own time flies.

    The disk's own limit, not a throttle node below its overlay: QEMU 10 takes such a node out only when the request
    that it holds up is due.
    """
    _limit(machine, rate)
    try:
        yield
    except LabError:
        raise  # whoever restores the machine gets rid of the limit as well
    else:
        _limit(machine, 0)


def _limit(machine: Machine, rate: int) -> None:
    """Let the swap disk move so many bytes a second, or, with 0, as many as it can."""
    none = dict.fromkeys(("bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr"), 0)
    machine.qmp("block_set_io_throttle", {"id": "swap", "bps": rate, **none})


@contextmanager
def _between(machine: Machine, name: str) -> Iterator[None]:
    """Put a node below the swap disk's overlay for a while; a machine that died meanwhile is left alone."""
    _stand_on(machine, name)
    try:
        yield
    except LabError:
        raise  # whoever restores the machine gets rid of the node as well
    else:
        _stand_on(machine, "swap-file")
        machine.qmp("blockdev-del", {"node-name": name})


def _stand_on(machine: Machine, name: str) -> None:
    cache = {"no-flush": True}
    node = {"driver": "qcow2", "node-name": "swap", "file": name, "backing": "swap-image", "cache": cache}
    machine.qmp("blockdev-reopen", {"options": [node]})
