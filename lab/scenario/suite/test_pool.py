"""The pool of threads between a minimum and a maximum, which the kernel's command line gives: kvmd=MIN,MAX."""

from __future__ import annotations

import pytest

from lab.machine.machine import Machine
from lab.scenario.kvmd import DEDICATED, Kvmd

MIB = 1 << 20
SHARE = 4  # attachments on a thread from which on the pool would rather have another thread


def _pool(kvmd: Kvmd) -> int:
    """How many threads of the pool the guest's list of processes has, zombies included."""
    return sum(name.removeprefix("kvmd/").isdigit() for name in kvmd.threads())


@pytest.mark.machine(append="kvmd=2,5")
def test_pool_breathes_with_its_attachments(kvmd: Kvmd) -> None:
    """Threads come while attachments come, one for each four, up to the maximum, and go with them, down to the minimum.

    The RFC thought of a web server's processes. There a request ends soon, and any process takes the next one; an
    attachment stays with the thread that has its memory, so only threads without one can go. A counter is easily
    kept and wrong: here the guest's list of processes must agree.
    """
    held = []
    for number in range(1, 5 * SHARE + 4):
        held.append(kvmd.open())
        assert kvmd.proc()["pool_threads"] == min(5, max(2, -(-number // SHARE)))
    assert _pool(kvmd) == 5
    while held:
        held.pop().close()
    assert _pool(kvmd) == 2
    assert kvmd.proc()["threads_started"] == 5


@pytest.mark.machine(append="kvmd=1,4")
def test_threads_at_the_edge_are_not_started_and_ended_each_time(kvmd: Kvmd) -> None:
    """An attachment that comes and goes just where a thread more is needed costs one start, not one each time.

    To start a thread means a process, an address space, and page tables: on a machine short of memory nothing to
    do for each open of a file. So one idle thread is kept above the minimum while the others are busy.
    """
    held = [kvmd.open() for _ in range(SHARE)]
    before = kvmd.proc()["threads_started"]
    for _ in range(8):
        kvmd.open().close()
    assert kvmd.proc()["threads_started"] == before + 1
    for vmd in held:
        vmd.close()
    assert _pool(kvmd) == 1


@pytest.mark.machine(append="kvmd=1,6")
def test_data_survives_the_threads_around_it(lab_machine: Machine, kvmd: Kvmd, seed: int) -> None:
    """One attachment keeps its thread and its data, most of it in swap, while others make threads come and go."""
    with kvmd.open() as vmd:
        region = vmd.alloc(lab_machine.memory)
        region.fill(seed)
        for _ in range(2):
            others = [kvmd.open() for _ in range(5 * SHARE)]
            for other in others:
                other.alloc(256 << 10).fill(seed)
            assert kvmd.proc()["pool_threads"] == 6
            for other in others:
                other.close()
            assert kvmd.proc()["pool_threads"] <= 2
        assert region.verify(seed).bad_words == 0


@pytest.mark.machine(append="kvmd=1,2")
def test_dedicated_threads_are_not_of_the_pool(kvmd: Kvmd) -> None:
    """Threads of one attachment each neither fill the pool nor are counted in it; nobody else gets them."""
    own = [kvmd.open(DEDICATED) for _ in range(3)]
    shared = [kvmd.open() for _ in range(2 * SHARE)]
    assert kvmd.threads() == ["kvmd/0", "kvmd/1", "kvmd/keeper", "kvmd/own", "kvmd/own", "kvmd/own"]
    for vmd in (*own, *shared):
        vmd.close()
    assert _pool(kvmd) == 1


@pytest.mark.machine(append="kvmd=3,2")
def test_impossible_limits_are_told_and_not_taken(lab_machine: Machine, kvmd: Kvmd) -> None:
    """A minimum above the maximum: the kernel comes up all the same, with the pool that it has when nobody says."""
    figures = kvmd.proc()
    wanted = 2 * lab_machine.spec.cpus
    assert (figures["pool_min"], figures["pool_max"], figures["pool_threads"]) == (wanted, 4 * wanted, wanted)


@pytest.mark.machine(append="kvmd=1,1")
def test_pool_of_one_serves_many(kvmd: Kvmd, seed: int) -> None:
    """Thirty attachments on one thread: all are served, each with its own data, and no thread comes to help."""
    held = [kvmd.open() for _ in range(30)]
    regions = [vmd.alloc(64 << 10) for vmd in held]
    for number, region in enumerate(regions):
        region.fill(seed + number)
    assert [region.verify(seed + number).bad_words for number, region in enumerate(regions)] == [0] * 30
    assert _pool(kvmd) == 1
