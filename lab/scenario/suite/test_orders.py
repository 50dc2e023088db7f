"""Alloc, map, unmap, free and close in every order, the wrong ones too."""

from __future__ import annotations

import itertools

import pytest

from lab.machine.machine import Machine
from lab.machine.pattern import PAGE_SIZE
from lab.scenario.acts import left_over, refusal
from lab.scenario.kvmd import CHANGE, DEDICATED, LOOK, Attachment, Kvmd, Map, Region
from lab.scenario.pressure import apply_pressure

EVENTS = ("map one", "map two", "unmap one", "unmap two", "free")
PAGES = 3


def _orders() -> list[tuple[str, ...]]:
    """Return the events in every order in which no map is unmapped before it was asked for."""
    orders = itertools.permutations(EVENTS)
    return [order for order in orders if all(order.index(f"map {n}") < order.index(f"unmap {n}") for n in _NAMES)]


_NAMES = ("one", "two")
_PLACES = {"one": (CHANGE, 0), "two": (LOOK, PAGE_SIZE)}  # two pages each: they share the page in the middle


class _Play:
    """A region, its two maps, and what each event must lead to, as far as it has come."""

    def __init__(self, vmd: Attachment, seed: int) -> None:
        self.region = vmd.alloc(PAGES * PAGE_SIZE)
        self.region.fill(seed)
        self.maps: dict[str, Map] = {}
        self.freed = False

    def expected(self, event: str) -> str:
        act, _, name = event.partition(" ")
        if act == "free":
            return "EBUSY" if self.maps else ""
        if act == "map":
            return "EFAULT" if self.freed else ""
        return "" if name in self.maps else "never mapped"

    def do(self, event: str) -> str:
        act, _, name = event.partition(" ")
        if act == "free":
            status = refusal(self.region.free)
            self.freed = not status
            return status
        if act == "map":
            return refusal(lambda: self._map(name))
        return refusal(self.maps.pop(name).unmap) if name in self.maps else "never mapped"

    def _map(self, name: str) -> None:
        way, offset = _PLACES[name]
        self.maps[name] = self.region.map(way, offset, 2 * PAGE_SIZE)


@pytest.mark.parametrize("flags", [0, DEDICATED], ids=["pool", "own"])
def test_every_order_of_two_maps_and_a_free_is_answered_as_it_should(kvmd: Kvmd, flags: int, seed: int) -> None:
    """All 30 orders of two overlapping maps, their unmaps and one free: each call succeeds or is refused as it must.

    A region can't go while a map holds any of it, nor be mapped after it went. A refused call changes nothing: the data
    is still right, and in the end nothing is left, whatever happened in between.
    """
    orders = _orders()
    assert len(orders) == 30
    with kvmd.open(flags) as vmd:
        for order in orders:
            play = _Play(vmd, seed)
            for event in order:
                expected = play.expected(event)
                assert (order, event, play.do(event)) == (order, event, expected)
                if not play.freed:
                    assert play.region.verify(seed).bad_words == 0
            if not play.freed:
                play.region.free()
            left = kvmd.stats()
            assert (left.regions, left.maps, left.mapped_pages) == (0, 0, 0), order
    assert left_over(kvmd.stats()) == {}


def test_map_that_was_unmapped_can_not_be_used_again(kvmd: Kvmd, seed: int) -> None:
    """Unmapping twice, looking and writing after unmap are refused, and the other map of the page does not notice."""
    with kvmd.open() as vmd:
        region = vmd.alloc(PAGE_SIZE)
        region.fill(seed)
        with region.map() as stays:
            gone = region.map()
            before = stays.peek(0)
            gone.unmap()
            calls = (gone.unmap, lambda: gone.peek(0), lambda: gone.poke(0, 1), gone.unmap)
            assert [refusal(call) for call in calls] == ["EBADF"] * 4
            assert stays.peek(0) == before
            assert kvmd.stats().maps == 1
            assert refusal(region.free) == "EBUSY"
        region.free()
        assert refusal(region.free) == "EINVAL"
        vmd.alloc(PAGE_SIZE).free()
        assert refusal(region.free) == "EINVAL"
    assert left_over(kvmd.stats()) == {}


@pytest.mark.parametrize("flags", [0, DEDICATED], ids=["pool", "own"])
def test_close_while_mapped_gives_everything_back(lab_machine: Machine, kvmd: Kvmd, flags: int, seed: int) -> None:
    """Closing an attachment ends its maps, then its regions; the frames are usable, and the next one starts clean.

    The RFC's close gave nothing back. A page that goes while it is still locked stops the kernel the next time that
    somebody gets the frame, so memory pressure uses all of them afterwards.
    """
    for _ in range(3):
        vmd = kvmd.open(flags)
        regions = [vmd.alloc(size * PAGE_SIZE) for size in (1, 7, 200)]
        for region in regions:
            region.fill(seed)
        maps = [region.map(way) for region in regions for way in (LOOK, CHANGE, CHANGE)]
        assert kvmd.stats().mapped_pages == 3 * 208
        vmd.close()
        assert left_over(kvmd.stats()) == {}
        assert {refusal(gone.unmap) for gone in maps} == {"EBADF"}
        assert refusal(vmd.close) == "EBADF"
    apply_pressure(lab_machine, seed, verify=False)
    with kvmd.open() as vmd:
        fresh = vmd.alloc(200 * PAGE_SIZE)
        assert _words(fresh, 200) == [0] * 200
    assert left_over(kvmd.stats()) == {}


def _words(region: Region, pages: int) -> list[int]:
    with region.map(LOOK) as held:
        return [held.peek(page * PAGE_SIZE)[0] for page in range(pages)]


def test_region_that_was_freed_comes_back_empty(lab_machine: Machine, kvmd: Kvmd, seed: int) -> None:
    """Memory that is allocated again at the same address holds zeros, not what was there, nor what is in swap of it.

    A swap slot or a page-table entry that is forgotten at free would show the old contents here.
    """
    with kvmd.open() as vmd:
        for turn in range(2):
            region = vmd.alloc(64 * PAGE_SIZE)
            assert _words(region, 64) == [0] * 64, turn
            region.fill(seed + turn)
            apply_pressure(lab_machine, seed, verify=False)
            region.free()
    assert left_over(kvmd.stats()) == {}
