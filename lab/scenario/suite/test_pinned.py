"""Pages that a driver holds: they stay where they are, and what is written into them is not lost."""

from __future__ import annotations

import random

from lab.machine.introspection import Introspection
from lab.machine.machine import Machine
from lab.machine.pattern import PAGE_SIZE, word
from lab.scenario.acts import left_over
from lab.scenario.kvmd import CHANGE, LOOK, Kvmd, Map, Region
from lab.scenario.pressure import apply_pressure, apply_pressure_until

WINDOW = 64 << 10


def _frames(held: Map, pages: int) -> list[int]:
    return [held.peek(page * PAGE_SIZE)[1] for page in range(pages)]


def _seen_from_outside(machine: Machine, frame: int, offset: int) -> int:
    """Return a word of a page frame as QEMU sees it."""
    return int.from_bytes(machine.pmemsave(frame * PAGE_SIZE + offset, 4), "little")


def _look(region: Region, page: int, offset: int) -> int:
    with region.map(LOOK, page * PAGE_SIZE, PAGE_SIZE) as held:
        return held.peek(offset)[0]


def test_pinned_pages_stay_in_their_frames(lab_machine: Machine, kvmd: Kvmd, seed: int) -> None:
    """Pages that are mapped keep frame and contents while a process takes all other memory; their neighbours move.

    In 2000 a reference kept a frame from being used for something else, but not its page from being swapped out: the
    device went on with the frame, and the owner of the page got another one. That the pressure came as far as this
    memory is seen by the pages beside, which are held by nobody. QEMU looks into the frames itself.
    """
    pages = WINDOW // PAGE_SIZE
    with kvmd.open() as vmd, vmd.alloc(16 * WINDOW) as region:
        region.fill(seed)
        with region.map(LOOK, WINDOW, WINDOW) as beside:
            free_before = _frames(beside, pages)
        maps = [region.map(way, number * WINDOW, WINDOW) for number, way in ((3, LOOK), (7, CHANGE), (15, LOOK))]
        before = [_frames(held, pages) for held in maps]

        def beside_moved(seen: Introspection) -> bool:
            inside = [address for server in seen.servers() for address in server.frames]
            return len(set(range(region.address + WINDOW, region.address + 2 * WINDOW, PAGE_SIZE)) - set(inside)) > 0

        for turn in range(2):
            apply_pressure_until(lab_machine, seed + turn, beside_moved, verify=False)
            assert [_frames(held, pages) for held in maps] == before
        with region.map(LOOK, WINDOW, WINDOW) as beside:
            assert _frames(beside, pages) != free_before
        for number, frame in zip((3, 7, 15), before, strict=True):
            found = [_seen_from_outside(lab_machine, each, 8) for each in frame]
            assert found == [word(seed, number * pages + page, 2) for page in range(pages)]
        for held in maps:
            held.unmap()
        assert region.verify(seed).bad_words == 0
    assert left_over(kvmd.stats()) == {}


def test_writes_while_mapped_are_not_lost(lab_machine: Machine, kvmd: Kvmd, seed: int) -> None:
    """What a driver writes into a page is there after the page was let go, swapped out and read back.

    The worst hazard of 2000: map, memory pressure that writes the held page to swap and leaves it in the swap cache, a
    write by the driver, unmap. The kernel took the page for clean, since no page table said otherwise, and threw it
    away. The next look read the old contents from disk. Each round draws its pages and maps them, some several times,
    some only to look; a map to look at is no excuse for losing a word either.
    """
    draw = random.Random(seed)
    size = 16 * WINDOW
    with kvmd.open() as vmd, vmd.alloc(size) as region:
        region.fill(seed)
        written: dict[int, tuple[int, int]] = {}
        for turn in range(4):
            pages = draw.sample(sorted(set(range(size // PAGE_SIZE)) - set(written)), 40) if turn < 3 else []
            held = {page: [_map_one(region, page, draw) for _ in range(draw.choice((1, 1, 2, 3)))] for page in pages}
            apply_pressure(lab_machine, seed + turn, verify=False)
            assert {page: (offset, _look(region, page, offset)) for page, (offset, _) in written.items()} == written
            written = {page: (draw.randrange(0, PAGE_SIZE, 4), draw.getrandbits(32)) for page in pages}
            for page, (offset, value) in written.items():
                frame = draw.choice(held[page]).poke(offset, value)
                assert _seen_from_outside(lab_machine, frame, offset) == value
            for maps in held.values():
                for one in draw.sample(maps, len(maps)):
                    one.unmap()
    assert left_over(kvmd.stats()) == {}


def _map_one(region: Region, page: int, draw: random.Random) -> Map:
    return region.map(draw.choice((LOOK, CHANGE)), page * PAGE_SIZE, PAGE_SIZE)


def test_page_with_several_maps_stays_until_the_last_one_goes(lab_machine: Machine, kvmd: Kvmd, seed: int) -> None:
    """Three overlapping maps of one page: it keeps its frame while any of them is left, and what each wrote.

    A lock bit is one bit, and a reference of another map looks like one's own: whoever lets go first must not let the
    page go for all.
    """
    draw = random.Random(seed)
    with kvmd.open() as vmd, vmd.alloc(3 * PAGE_SIZE) as region:
        region.fill(seed)
        maps = [region.map(CHANGE, first * PAGE_SIZE, 2 * PAGE_SIZE) for first in (0, 1)] + [region.map(LOOK)]
        inside = [PAGE_SIZE, 0, PAGE_SIZE]  # where each map has the page in the middle
        frame = maps[0].peek(inside[0])[1]
        order = draw.sample(range(3), 3)
        for turn, number in enumerate(order):
            assert [maps[each].peek(inside[each])[1] for each in order[turn:]] == [frame] * (3 - turn)
            maps[number].poke(inside[number] + 4 * turn, seed + turn & 0xFFFFFFFF)
            maps[number].unmap()
            apply_pressure(lab_machine, seed + turn, verify=False)
        found = [_look(region, 1, 4 * turn) for turn in range(3)]
        assert found == [seed + turn & 0xFFFFFFFF for turn in range(3)]
    assert left_over(kvmd.stats()) == {}
