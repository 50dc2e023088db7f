"""Attachments that share a thread share no memory; threads of their own come and go."""

from __future__ import annotations

import random
from functools import partial

import pytest

from lab.machine.kvmdctl import Command
from lab.machine.machine import Machine
from lab.machine.pattern import PAGE_SIZE
from lab.machine.rpc import RefusedError
from lab.scenario import kvmd as calls
from lab.scenario.acts import ONE_THREAD, left_over, refusal, together, workers
from lab.scenario.kvmd import DEDICATED, Kvmd, Region
from lab.scenario.pressure import apply_pressure

SIZE = 16 * PAGE_SIZE


@pytest.mark.machine(append=ONE_THREAD)
def test_attachments_on_one_thread_can_not_touch_each_other(lab_machine: Machine, kvmd: Kvmd, seed: int) -> None:
    """Two attachments live in one address space, side by side, and none can map, fill, unmap or free the other's.

    In the RFC whoever was attached to a thread could take away another driver's memory by its address. Ranges that
    begin in one's own region and end in the other's are the interesting ones: the addresses are all mapped.
    """
    stranger = Kvmd(lab_machine.agent.spawn())
    mine, yours = kvmd.open(), kvmd.open()
    elsewhere = stranger.open()
    own, other = mine.alloc(SIZE), yours.alloc(SIZE)
    own.fill(seed)
    other.fill(seed + 1)
    assert abs(own.address - other.address) == SIZE, "Linux puts two mappings of one address space side by side"
    lower = min(own.address, other.address)
    held = other.map()
    reach = [(other.address, SIZE), (other.address, 1), (lower, 2 * SIZE), (lower + SIZE - 1, 2)]
    for address, size in reach:
        assert refusal(partial(kvmd.ioctl, Command.MAP, mine.handle, address, size, calls.LOOK)) == "EFAULT"
    for address, size in ((other.address, SIZE), (lower, 2 * SIZE)):
        assert refusal(partial(kvmd.ioctl, Command.FREE, mine.handle, address, size)) == "EINVAL"
        assert refusal(partial(kvmd.ioctl, Command.FILL, mine.handle, address, size, PAGE_SIZE, seed, 0)) == "EFAULT"
    assert refusal(partial(kvmd.ioctl, Command.UNMAP, mine.handle, held.number)) == "EINVAL"
    assert refusal(partial(stranger.ioctl, Command.UNMAP, elsewhere.handle, held.number)) == "EBADF"
    assert refusal(partial(stranger.ioctl, Command.PEEK, held.number, 0)) == "EBADF"
    assert refusal(partial(stranger.ioctl, Command.CLOSE, 0, yours.handle + 1)) == "EBADF"
    mine.close()
    apply_pressure(lab_machine, seed, verify=False)
    assert held.poke(0, held.peek(0)[0]) == held.peek(0)[1]
    held.unmap()
    assert other.verify(seed + 1).bad_words == 0
    yours.close()
    elsewhere.close()
    assert left_over(kvmd.stats()) == {}


def test_attachments_on_threads_of_their_own_have_the_same_addresses_and_other_data(
    lab_machine: Machine, kvmd: Kvmd, seed: int
) -> None:
    """Dedicated threads have an address space each: the same address, other contents, under memory pressure.

    If a page fault or a TLB flush went to the address space of whoever happens to run, as in the RFC, the contents
    of one would show up in another.
    """
    owners = [kvmd.open(DEDICATED) for _ in range(4)]
    regions = [owner.alloc(SIZE) for owner in owners]
    assert len({region.address for region in regions}) == 1
    for number, region in enumerate(regions):
        region.fill(seed + number)
    apply_pressure(lab_machine, seed, verify=False)
    assert [region.verify(seed + number).bad_words for number, region in enumerate(regions)] == [0] * 4
    for owner in owners:
        owner.close()
    assert left_over(kvmd.stats()) == {}


def _threads(machine: Machine) -> list[str]:
    """Return the names of kvmd's dedicated threads, from /proc."""
    found = []
    for name in filter(str.isdigit, machine.agent.list_dir("/proc")):
        try:
            line = machine.agent.read_file(f"/proc/{name}/stat").decode()
        except RefusedError:
            continue  # it ended meanwhile
        if "(kvmd/own)" in line:
            found.append(line.partition("(")[2].partition(")")[0])
    return found


def test_dedicated_threads_come_and_go(lab_machine: Machine, kvmd: Kvmd, seed: int) -> None:
    """Threads of one attachment each start and end in a drawn order; none is handed to anybody else, none stays.

    The RFC put them on the common list and never ended them. What the kernel lists as processes is compared with
    what is open. Those that stay keep their data while others beside them go.
    """
    draw = random.Random(seed)
    before = kvmd.stats().threads
    alive: list[tuple[Region, int]] = []
    devices = [kvmd, *workers(lab_machine, 3)]
    for turn in range(24):
        if not alive or (len(alive) < 8 and draw.random() < 0.6):
            region = draw.choice(devices).open(DEDICATED).alloc(SIZE)
            region.fill(seed + turn)
            alive.append((region, seed + turn))
        else:
            region, pattern = alive.pop(draw.randrange(len(alive)))
            assert region.verify(pattern).bad_words == 0
            region.owner.close()
        assert kvmd.stats().threads == before + len(alive)
    while len(alive) < 2:
        alive.append((kvmd.open(DEDICATED).alloc(SIZE), seed))
    assert len(_threads(lab_machine)) == len(alive)
    together(region.owner.close for region, _ in alive)
    assert _threads(lab_machine) == []
    assert kvmd.stats().threads == before
    assert left_over(kvmd.stats()) == {}
