"""Data survives: many regions of mixed sizes, and many clients of few threads at the same time."""

from __future__ import annotations

import random
from functools import partial

from lab.machine.machine import Machine
from lab.machine.pattern import PAGE_SIZE
from lab.scenario.acts import left_over, together, workers
from lab.scenario.kvmd import Kvmd, Region

CLIENTS, PROCESSES = 64, 16


def test_many_regions_of_mixed_sizes_keep_their_data(lab_machine: Machine, kvmd: Kvmd, seed: int) -> None:
    """Regions from one page to a few hundred come and go on three attachments, half as much again as there is memory.

    Each has a pattern of its own, which names the page too: a page of another region, of another place in the same
    one, or of an earlier region at the same address is a wrong word. Windows of drawn sizes cross all borders.
    """
    draw = random.Random(seed)
    most = lab_machine.memory * 3 // 2
    owners = [kvmd.open() for _ in range(3)]
    alive: dict[int, Region] = {}
    for turn in range(90):
        if alive and (draw.random() < 0.25 or sum(region.size for region in alive.values()) > most):
            pattern = draw.choice(sorted(alive))
            assert alive[pattern].verify(pattern, window=_window(draw)).bad_words == 0
            alive.pop(pattern).free()
        else:
            region = draw.choice(owners).alloc(int(2 ** draw.uniform(0, 9.5)) * PAGE_SIZE)
            region.fill(seed + turn & 0xFFFFFFFF, window=_window(draw))
            alive[seed + turn & 0xFFFFFFFF] = region
    for pattern, region in draw.sample(sorted(alive.items()), len(alive)):
        assert region.verify(pattern, window=_window(draw)).bad_words == 0
    for owner in owners:
        owner.close()
    assert left_over(kvmd.stats()) == {}


def _window(draw: random.Random) -> int:
    return draw.randint(1, 16) * PAGE_SIZE


def test_64_clients_of_the_pool_keep_their_data(lab_machine: Machine, kvmd: Kvmd, seed: int) -> None:
    """16 processes with four attachments each fill and verify side by side, a quarter more than the memory in all.

    They share the threads of the pool, so several own regions of one address space and wait for the same lock while a
    page is read. Whoever gets another's page, or another's address, finds wrong words. All have filled their regions
    once before the first one comes back to his: by then a fifth of it all, at the least, is on the disk alone.
    """
    size = lab_machine.memory * 5 // 4 // CLIENTS & -PAGE_SIZE
    devices = workers(lab_machine, PROCESSES)
    clients = [[device.open().alloc(size) for _ in range(CLIENTS // PROCESSES)] for device in devices]
    assert kvmd.stats().attachments == CLIENTS
    before = lab_machine.block_stats().swap
    for turn in range(2):
        wrong = together(partial(_work, mine, seed + number * 4 + 1000 * turn) for number, mine in enumerate(clients))
        assert wrong == [0] * PROCESSES
    assert (lab_machine.block_stats().swap - before).read_bytes >= CLIENTS * size // 5
    together(partial(_close, mine) for mine in clients)
    assert left_over(kvmd.stats()) == {}


def _work(mine: list[Region], seed: int) -> int:
    """Fill each region, then look at all of them; return the number of wrong words."""
    for number, region in enumerate(mine):
        region.fill(seed + number & 0xFFFFFFFF)
    return sum(region.verify(seed + number & 0xFFFFFFFF).bad_words for number, region in enumerate(mine))


def _close(mine: list[Region]) -> None:
    for region in mine:
        region.owner.close()
