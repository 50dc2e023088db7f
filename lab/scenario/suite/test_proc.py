"""/proc/kvmd tells what kvmd holds, has done and has refused: each figure against what was done."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest

from lab.machine.rpc import RefusedError
from lab.scenario.kvmd import DEDICATED, Attachment, Kvmd

PAGE = 4096
MIB = 1 << 20


def _changes(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    assert before.keys() == after.keys()
    return {name: after[name] - before[name] for name in before if after[name] != before[name]}


def test_what_is_held_is_counted_and_given_back(kvmd: Kvmd) -> None:
    """Each call changes just the figures that it should; when all is closed, what there is now is what there was.

    A page that two maps hold is mapped twice and pinned once: the difference between the two figures is what a leak of
    either kind would show in.
    """
    start = kvmd.proc()
    vmd = kvmd.open()
    region = vmd.alloc(10 * PAGE)
    wide, narrow = region.map(size=4 * PAGE), region.map(offset=3 * PAGE, size=2 * PAGE)
    held = {"attachments": 1, "regions": 1, "region_pages": 10, "maps": 2, "mapped_pages": 6, "pinned_pages": 5}
    assert _changes(start, kvmd.proc()) == {**held, "commands_alloc": 1}
    wide.unmap()
    assert _changes(start, kvmd.proc()) == {
        **held,
        "maps": 1,
        "mapped_pages": 2,
        "pinned_pages": 2,
        "commands_alloc": 1,
    }
    narrow.unmap()
    region.resize(30 * PAGE)
    region.resize(2 * PAGE)
    vmd.close()
    assert _changes(start, kvmd.proc()) == {"commands_alloc": 1, "commands_grow": 1, "commands_free": 2}


def test_pages_of_a_large_region_are_counted_one_by_one(kvmd: Kvmd) -> None:
    """Two maps meet where one piece of a region's pin counts ends and the next begins: each page keeps its own count.

    The counts of 8 MiB fill a page. kmalloc gives no more than that for sure, and vmalloc of 2.3 stops the kernel when
    memory runs out in the middle.
    """
    start = kvmd.proc()
    piece = PAGE // 2 * PAGE
    with kvmd.open() as vmd, vmd.alloc(piece + 4 * PAGE) as region:
        across, behind = region.map(offset=piece - 2 * PAGE, size=4 * PAGE), region.map(offset=piece, size=2 * PAGE)
        assert (kvmd.proc()["pinned_pages"], kvmd.proc()["mapped_pages"]) == (4, 6)
        across.unmap()
        assert (kvmd.proc()["pinned_pages"], kvmd.proc()["mapped_pages"]) == (2, 2)
        behind.unmap()
        assert kvmd.proc()["pinned_pages"] == 0
    assert _changes(start, kvmd.proc()) == {"commands_alloc": 1, "commands_free": 1}


def test_a_thread_of_its_own_is_counted_and_gone(kvmd: Kvmd) -> None:
    """A dedicated thread is one of the threads, but not of the pool, as long as its attachment lives."""
    start = kvmd.proc()
    vmd = kvmd.open(DEDICATED)
    assert _changes(start, kvmd.proc()) == {"threads": 1, "threads_started": 1, "attachments": 1}
    vmd.close()
    assert _changes(start, kvmd.proc()) == {"threads_started": 1, "commands_exit": 1}


def _wrong_free(vmd: Attachment) -> None:
    region = vmd.alloc(4 * PAGE)
    region.size = 2 * PAGE
    region.free()


def _mapped_free(vmd: Attachment) -> None:
    region = vmd.alloc(PAGE)
    region.map()
    region.free()


def _mapped_shrink(vmd: Attachment) -> None:
    region = vmd.alloc(4 * PAGE)
    region.map()
    region.resize(PAGE)


def _mapped_grow(vmd: Attachment) -> None:
    for region in [vmd.alloc(4 * PAGE) for _ in range(2)]:  # one of the two has the other one behind it
        region.map()
        region.resize(8 * PAGE)


def _map_too_much(vmd: Attachment) -> None:
    for _ in range(128):
        vmd.alloc(MIB).map()


REFUSALS: tuple[tuple[str, int, Callable[[Attachment], object]], ...] = (
    ("bad_argument", -errno.EINVAL, lambda vmd: vmd.alloc(0)),
    ("space", -errno.ENOMEM, lambda vmd: vmd.alloc(0x7FFF0000)),
    ("region", -errno.EINVAL, _wrong_free),
    ("free_mapped", -errno.EBUSY, _mapped_free),
    ("shrink_mapped", -errno.EBUSY, _mapped_shrink),
    ("grow_mapped", -errno.EBUSY, _mapped_grow),
    ("address", -errno.EFAULT, lambda vmd: vmd.alloc(PAGE).map(offset=PAGE, size=PAGE)),
    ("too_long", -errno.E2BIG, lambda vmd: vmd.alloc(2 * MIB).map()),
    ("pin_limit", -errno.EAGAIN, _map_too_much),
)


@pytest.mark.parametrize(("name", "status", "act"), REFUSALS, ids=[name for name, _, _ in REFUSALS])
def test_each_refusal_has_its_counter(kvmd: Kvmd, name: str, status: int, act: Callable[[Attachment], object]) -> None:
    """A call that is refused counts once, in the counter of its reason and in no other, and says so by its errno.

    Under pressure many things fail, and "EAGAIN 412 times" tells nobody which limit to look at.
    """
    before = kvmd.proc()
    with kvmd.open() as vmd:
        with pytest.raises(RefusedError) as refusal:
            act(vmd)
        assert refusal.value.status == status
    changes = _changes(before, kvmd.proc())
    refused = {reason: count for reason, count in changes.items() if reason.startswith("refused_")}
    assert refused == {f"refused_{name}": 1}


def test_the_device_and_proc_agree(kvmd: Kvmd, seed: int) -> None:
    """The control device's figures and those of /proc are the same ones: sums there are sums here."""
    with kvmd.open() as vmd:
        vmd.alloc(MIB).fill(seed)
        figures, stats = kvmd.proc(), kvmd.stats()
    assert stats.commands == sum(count for name, count in figures.items() if name.startswith("commands_"))
    assert stats.refused == sum(count for name, count in figures.items() if name.startswith("refused_"))
    assert (stats.threads, stats.regions, stats.region_bytes) == (figures["threads"], 1, MIB)
