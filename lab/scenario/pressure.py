"""What scenarios do to a guest's memory, and the pages of kvmd one by one."""

from __future__ import annotations

from collections.abc import Callable

from lab.machine.introspection import Introspection, introspect
from lab.machine.kvmdctl import Command
from lab.machine.machine import Machine
from lab.machine.pattern import PAGE_SIZE
from lab.machine.rpc import RefusedError
from lab.scenario.kvmd import Attachment, Region

TURNS = 16


def apply_pressure(machine: Machine, seed: int, size: int | None = None, *, verify: bool = True) -> None:
    """Let a process write to `size` bytes of memory, and end it: what can go to swap has gone.

    Without a size it is more than there is. `verify`: the process also checks what it stored there.
    """
    _age(machine, seed)
    _use(machine, _more_than_all(machine) if size is None else size, seed, passes=1 if verify else 0)


def apply_pressure_until(
    machine: Machine, seed: int, enough: Callable[[Introspection], bool], *, verify: bool = True
) -> None:
    """Repeat it until QEMU sees that enough is out of memory.

    It may well take everybody's pages but these: which are the oldest depends on how much memory is left, and so on the
    kernel's configuration. AssertionError: `TURNS` of it did not do.
    """
    for turn in range(TURNS):
        apply_pressure(machine, seed + turn, verify=verify)
        with introspect(machine) as seen:
            if enough(seen):
                return
            inside = in_frames(seen)
    raise AssertionError(f"after {TURNS} turns of pressure {inside >> 10} KiB of all regions are in memory")


def in_frames(seen: Introspection) -> int:
    """Return how much of all regions stands in page frames, in bytes."""
    return sum(len(server.frames) for server in seen.servers()) * PAGE_SIZE


def spare_slots(machine: Machine) -> int:
    """Return how many bytes of swap may count as used and are nobody's: slots that each processor keeps at hand.

    None in 2000; since 4.11 up to 64 that are free and up to 64 that are to be freed.
    """
    return machine.spec.cpus * 2 * 64 * PAGE_SIZE if machine.spec.today else 0


def _more_than_all(machine: Machine) -> int:
    """Return how many bytes leave nothing else in memory: half as much again as there is, and on 6.1 twice as much.

    That one sends the writer's own pages to swap first, and the others only when it goes on.
    """
    return machine.memory * 2 if machine.spec.today else machine.memory * 3 // 2


def _age(machine: Machine, seed: int) -> None:
    """Let a process go four times through a quarter of the memory, and of today's through all that is free, at least.

    Today's kernels keep pages that were used twice, as kvmd's are, and swap out those that were used once, however
    many: on 6.1 a region of 1 MiB stays in RAM, whole, through any pressure. After this they are as old as all others,
    but only where the kernel was short of memory meanwhile: before, it has no reason to look.
    """
    size = machine.memory // 4
    if machine.spec.today:
        memory = machine.agent.sysinfo()
        size = max(size * 3, memory.freeram * memory.mem_unit * 9 // 8 & -PAGE_SIZE)
    _use(machine, size, seed, passes=3)


def _use(machine: Machine, size: int, seed: int, passes: int) -> None:
    worker = machine.agent.spawn()
    pressure = worker.mem_pressure(size, seed, passes)
    assert pressure.bad_words == 0, pressure
    worker.exit()
    machine.agent.reap(worker.task)


def fill_until_refused(vmd: Attachment, piece: int, most: int, seed: int) -> tuple[list[Region], RefusedError | None]:
    """Allocate and fill regions of `piece` bytes, at most `most` bytes in all, until kvmd refuses one.

    Returns the regions that are filled, number n with the pattern of seed + n, and the refusal. What the refused call
    leaves behind is freed.
    """
    filled: list[Region] = []
    while len(filled) * piece < most:
        try:
            region = vmd.alloc(piece)
        except RefusedError as refusal:
            return filled, refusal
        try:
            region.fill(seed + len(filled))
        except RefusedError as refusal:
            region.free()
            return filled, refusal
        filled.append(region)
    return filled, None


def page_verdicts(region: Region, seed: int) -> list[str]:
    """Compare each page by itself: "right", "wrong", or the name of the error, in the order of the pages."""
    kvmd, handle = region.owner.kvmd, region.owner.handle
    found = []
    for page in range(region.size // PAGE_SIZE):
        place = (handle, region.address + page * PAGE_SIZE, PAGE_SIZE, PAGE_SIZE)
        try:
            bad_words = kvmd.ioctl(Command.VERIFY, *place, seed, page)[6]
            found.append("wrong" if bad_words else "right")
        except RefusedError as refusal:
            found.append(refusal.name)
    return found
