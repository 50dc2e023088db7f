"""A swap disk that takes its time."""

from __future__ import annotations

import struct

import pytest

from lab.machine import protocol
from lab.machine.agent import MEMORY_SECONDS
from lab.machine.faults import slowed
from lab.machine.kvmdctl import Command
from lab.machine.machine import Machine
from lab.scenario.kvmd import CHANGE, DEDICATED, Kvmd
from lab.scenario.pressure import apply_pressure_until, in_frames

SIZE = 1 << 20
ROUNDS = 10  # of the neighbour, all of them while the other one waits for the first of its pages
_MAP = struct.Struct("<5I")


@pytest.mark.machine(skip_idle=False)  # the disk is slow in the host's time
def test_slow_swap_disk_makes_one_wait_and_not_the_others(lab_machine: Machine, kvmd: Kvmd, seed: int) -> None:
    """Who maps pages that are on a slow disk waits for them; a neighbour whose page is in RAM goes on meanwhile.

    A design that polls gives up some time, and one that holds everybody's lock while it waits for the disk stops all.
    In 2.3 what waits for a page holds the lock of its address space; so the neighbour must have another thread.
    """
    neighbour = Kvmd(lab_machine.agent.spawn(locked=True))
    with kvmd.open() as vmd, vmd.alloc(SIZE) as region, neighbour.open(DEDICATED) as other, other.alloc(4096) as page:
        region.fill(seed)
        apply_pressure_until(lab_machine, seed, lambda seen: in_frames(seen) <= SIZE // 2)
        page.fill(seed)
        with slowed(lab_machine, rate=1):
            call = _MAP.pack(vmd.handle, region.address, SIZE, CHANGE, 0)
            waiting = kvmd.worker.submit(protocol.Op.KVMD_IOCTL, protocol.WORD.pack(Command.MAP) + call)
            for number in range(ROUNDS):
                with page.map() as held:
                    held.poke(0, number)
                    assert held.peek(0)[0] == number
            assert not waiting.done
        number = _MAP.unpack(waiting.result(MEMORY_SECONDS))[4]
        assert kvmd.stats().maps == 1
        verdict = region.verify(seed)
        assert verdict.bad_words == 0, verdict
        kvmd.ioctl(Command.UNMAP, vmd.handle, number)
    assert kvmd.stats().refused == 0
