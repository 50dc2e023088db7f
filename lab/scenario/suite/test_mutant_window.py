"""A page that is swapped out between its fault and the look at it."""

from __future__ import annotations

import random
from functools import partial

from lab.machine import pattern
from lab.machine.machine import Machine
from lab.machine.pattern import PAGE_SIZE
from lab.scenario.acts import left_over, refusal, under_way
from lab.scenario.kvmd import Kvmd

MAPS, ENDLESS = 60, 1_000_000


def test_map_under_pressure_never_fails_for_a_good_address(lab_machine: Machine, kvmd: Kvmd, seed: int) -> None:
    """While two processes want all the memory there is, pages are mapped one by one: each map succeeds.

    map_user_kiobuf of 2.3 faults a page in, and only then looks where it is. Between the two the page may be swapped
    out again, by another processor or wherever the path sleeps, and a perfectly good address is called a bad one.
    Whoever maps must look again, as often as it takes.
    """
    draw = random.Random(seed)
    memory = lab_machine.memory
    hogs = [lab_machine.agent.spawn() for _ in range(2)]
    with kvmd.open() as vmd:
        region = vmd.alloc(memory)
        region.fill(seed)
        pressure = [partial(refusal, partial(hog.mem_pressure, memory * 3 // 4, seed, passes=ENDLESS)) for hog in hogs]
        with under_way(pressure) as pressing:
            try:
                for page in draw.sample(range(memory // PAGE_SIZE), MAPS):
                    with region.map(offset=page * PAGE_SIZE, size=PAGE_SIZE) as held:
                        value, frame = held.peek(0)
                        assert value == pattern.page_start(seed, page)
                        assert held.poke(0, value) == frame
                assert not any(press.done() for press in pressing)
            finally:
                for hog in hogs:
                    lab_machine.agent.kill(hog.task)
            assert [press.result() for press in pressing] == ["ECHILD"] * len(hogs)
        assert kvmd.stats().refused == 0
    assert left_over(kvmd.stats()) == {}
