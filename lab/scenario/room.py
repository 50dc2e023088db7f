"""How much memory is used or free, by the guest's own figures, and how many objects its slab caches have handed out.

A processor of today keeps some free pages for itself and gives them back at times: up to the zone's low watermark (6.1,
mm/page_alloc.c, zone_highsize), a MiB of a guest of 28 MiB. So what is free in both ways is read at one time.
"""

from __future__ import annotations

from lab.machine.machine import Machine
from lab.machine.pattern import PAGE_SIZE
from lab.machine.rpc import RefusedError
from lab.scenario.acts import idle

RCU_SECONDS = 0.3  # of the guest's


def settle(machine: Machine) -> None:
    """Have today's processors let go of pages that they hold for a moment, and of what waits for all to pass by (RCU).

    Pages on their way to the kernel's lists wait in several batches a processor; one that was freed meanwhile is free
    when its batch is emptied. A batch is 15 pages on 6.1, and 31 on 6.12 and 7.2 (PAGEVEC_SIZE, FOLIO_BATCH_SIZE),
    where a write to drop_caches empties them first (fs/drop_caches.c).
    """
    if machine.spec.today:
        machine.agent.write_file("/proc/sys/vm/drop_caches", b"1\n")
        idle(machine.agent, RCU_SECONDS)


def used_kib(machine: Machine) -> int:
    """Return how many KiB of memory are used, but for what is cached of disks and of swap.

    What a process had in today's swap cache stays there after its end for a while, up to 1.3 MiB after pressure: file
    pages, as the kernel counts, are those too.
    """
    if machine.spec.today:
        pages = _Pages(machine)
        return (pages.total("managed") - pages.free - pages.total("nr_file_pages")) * PAGE_SIZE >> 10
    lines = [line.split() for line in machine.agent.read_file("/proc/meminfo").decode().splitlines()]
    kib = {words[0]: int(words[1]) for words in lines if words[2:] == ["kB"]}
    return kib["MemTotal:"] - kib["MemFree:"] - kib["Buffers:"] - kib["Cached:"]


def free_bytes(machine: Machine) -> int:
    """Return how many bytes of memory nobody uses, with what processors keep for themselves."""
    if machine.spec.today:
        return _Pages(machine).free * PAGE_SIZE
    memory = machine.agent.sysinfo()
    return memory.freeram * memory.mem_unit


def slabs(machine: Machine) -> dict[str, int]:
    """Return the objects in use of each slab cache; none where the kernel does not count them (`--no-checks`)."""
    try:
        text = machine.agent.read_file("/proc/slabinfo").decode()
    except RefusedError as refusal:
        if not machine.spec.today or refusal.name != "ENOENT":
            raise
        return {}
    lines = [line.split() for line in text.splitlines()]
    return {words[0]: int(words[1]) for words in lines if len(words) > 3 and words[1].isdigit()}


class _Pages:
    """A look into today's /proc/zoneinfo, all of one time."""

    def __init__(self, machine: Machine) -> None:
        text = machine.agent.read_file("/proc/zoneinfo").decode()
        self._lines = [line.split() for line in text.splitlines()]

    def total(self, *name: str) -> int:
        """Return a figure's sum over all zones, nodes and processors."""
        return sum(int(words[-1]) for words in self._lines if words[:-1] == [*name])

    @property
    def free(self) -> int:
        """Free pages, those that processors keep for themselves among them."""
        return self.total("pages", "free") + self.total("count:")
