"""Every argument that is wrong, of every call: the errno that README.md promises, and nothing else happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import msgspec
import pytest

from lab.machine.kvmdctl import Command
from lab.machine.machine import Machine
from lab.machine.pattern import PAGE_SIZE
from lab.scenario.acts import left_over, refusal
from lab.scenario.kvmd import CHANGE, LOOK, Attachment, Kvmd, Map, Region

P = PAGE_SIZE
USER_END = 0xC000_0000  # the first address that no process has
TOP = 0xFFFF_F000  # the last page of all addresses
TEXT = 0x0804_8000  # where a program begins: its ELF header, which can be read but not written


class Scene(msgspec.Struct, frozen=True):
    """Two attachments of one file, a region of four pages and its second page mapped; `free` is where nothing is."""

    kvmd: Kvmd
    mine: Attachment
    other: Attachment
    region: Region
    held: Map
    free: int

    @property
    def start(self) -> int:
        """The region's address."""
        return self.region.address


@pytest.fixture
def scene(kvmd: Kvmd) -> Iterator[Scene]:
    """A scene whose data must still be there, and nothing else, when the test has passed."""
    mine, other = kvmd.open(), kvmd.open()
    gone = mine.alloc(64 * P)
    gone.free()
    region = mine.alloc(4 * P)
    region.fill(1)
    free = gone.address + 32 * P
    with region.map(LOOK, P, P) as held:
        yield Scene(kvmd, mine, other, region, held, free)
        left = kvmd.stats()
        assert (left.regions, left.maps, left.mapped_pages) == (1, 1, 1)
    assert region.verify(1).bad_words == 0
    mine.close()
    other.close()
    assert left_over(kvmd.stats()) == {}


# What is wrong, the words of the call's structure, the errno, and how many refusals kvmd itself counts: none where the
# control device finds out before.
Row = tuple[str, tuple[int, ...], str, int]
Rows = Callable[[Scene], list[Row]]
HANDLES = {"no such handle": 64, "never opened": 63, "a wild handle": 0xFFFF_FFFF}


def _bad_handles(*rest: int) -> list[Row]:
    return [(what, (handle, *rest), "EBADF", 0) for what, handle in HANDLES.items()]


def _open(_: Scene) -> list[Row]:
    return [(f"flags {flags:#x}", (flags,), "EINVAL", 1) for flags in (2, 3, 0x8000_0000, 0xFFFF_FFFF)]


def _close(_: Scene) -> list[Row]:
    return [(what, (0, handle), "EBADF", 0) for what, handle in HANDLES.items()]


def _alloc(scene: Scene) -> list[Row]:
    handle = scene.mine.handle
    return [
        *_bad_handles(0, P),
        ("no size", (handle, 0, 0), "EINVAL", 1),
        ("one byte more than there are addresses", (handle, 0, USER_END + 1), "EINVAL", 1),
        ("a size that wraps when it is rounded up", (handle, 0, 0xFFFF_FFFF), "EINVAL", 1),
        ("all addresses", (handle, 0, USER_END), "ENOMEM", 1),
        ("more than RAM and swap", (handle, 0, 1 << 30), "ENOMEM", 1),
    ]


def _free(scene: Scene) -> list[Row]:
    handle, start = scene.mine.handle, scene.start
    return [
        *_bad_handles(start, 4 * P),
        ("no size", (handle, start, 0), "EINVAL", 1),
        ("more than there are addresses", (handle, start, USER_END + 1), "EINVAL", 1),
        ("a page too few", (handle, start, 3 * P), "EINVAL", 1),
        ("a page too many", (handle, start, 5 * P), "EINVAL", 1),
        ("a byte too many", (handle, start, 4 * P + 1), "EINVAL", 1),
        ("the end of a region", (handle, start + P, 3 * P), "EINVAL", 1),
        ("not a page", (handle, start + 1, 4 * P), "EINVAL", 1),
        ("nothing there", (handle, scene.free, 4 * P), "EINVAL", 1),
        ("address 0", (handle, 0, 4 * P), "EINVAL", 1),
        ("the kernel's memory", (handle, USER_END, 4 * P), "EINVAL", 1),
        ("around the end of the addresses", (handle, TOP, 4 * P), "EINVAL", 1),
        ("another attachment's", (scene.other.handle, start, 4 * P), "EINVAL", 1),
        ("mapped", (handle, start, 4 * P), "EBUSY", 1),
    ]


def _map(scene: Scene) -> list[Row]:
    handle, start = scene.mine.handle, scene.start
    return [
        *_bad_handles(start, P, LOOK),
        ("neither look nor change", (handle, start, P, 2), "EINVAL", 0),
        ("a wild direction", (handle, start, P, 0xFFFF_FFFF), "EINVAL", 0),
        ("no size", (handle, start, 0, LOOK), "EINVAL", 1),
        ("a byte too long", (handle, start, (1 << 20) + 1, LOOK), "E2BIG", 1),
        ("the longest size", (handle, start, 0xFFFF_FFFF, CHANGE), "E2BIG", 1),
        ("a page too many", (handle, start, 5 * P, LOOK), "EFAULT", 1),
        ("a byte too many", (handle, start + 4 * P - 1, 2, CHANGE), "EFAULT", 1),
        ("a byte before", (handle, start - 1, 2, LOOK), "EFAULT", 1),
        ("behind the end", (handle, start + 4 * P, 1, LOOK), "EFAULT", 1),
        ("nothing there", (handle, scene.free, P, LOOK), "EFAULT", 1),
        ("address 0", (handle, 0, P, CHANGE), "EFAULT", 1),
        ("the kernel's memory", (handle, USER_END, P, CHANGE), "EFAULT", 1),
        ("into the kernel's memory", (handle, USER_END - P, 2 * P, CHANGE), "EFAULT", 1),
        ("around the end of the addresses", (handle, TOP, 2 * P, LOOK), "EFAULT", 1),
        ("the last byte of all", (handle, 0xFFFF_FFFF, 1, LOOK), "EFAULT", 1),
        ("another attachment's", (scene.other.handle, start, P, LOOK), "EFAULT", 1),
    ]


def _unmap(scene: Scene) -> list[Row]:
    held = scene.held.number
    return [
        *_bad_handles(held),
        ("no such number", (scene.mine.handle, 256), "EBADF", 0),
        ("a wild number", (scene.mine.handle, 0xFFFF_FFFF), "EBADF", 0),
        ("never mapped", (scene.mine.handle, 255), "EBADF", 0),
        ("another attachment's", (scene.other.handle, held), "EINVAL", 0),
    ]


def _pattern(scene: Scene) -> list[Row]:
    handle, start = scene.mine.handle, scene.start
    return [
        *_bad_handles(start, P, P),
        ("not a page", (handle, start + 4, P, P), "EINVAL", 0),
        ("a part of a page", (handle, start, P + 4, P), "EINVAL", 0),
        ("a window that is not whole pages", (handle, start, P, P - 4), "EINVAL", 0),
        ("no size", (handle, start, 0, P), "EINVAL", 0),
        ("no window", (handle, start, P, 0), "EINVAL", 0),
        ("too large a window", (handle, start, P, (64 << 10) + P), "EINVAL", 0),
        ("around the end of the addresses", (handle, TOP, 2 * P, P), "EINVAL", 0),
        ("nothing there", (handle, scene.free, P, P), "EFAULT", 1),
        ("the kernel's memory", (handle, USER_END, P, P), "EFAULT", 1),
        ("another attachment's", (scene.other.handle, start, P, P), "EFAULT", 1),
    ]


def _word(scene: Scene) -> list[Row]:
    held = scene.held.number
    return [
        ("no such number", (256, 0), "EBADF", 0),
        ("a wild number", (0xFFFF_FFFF, 0), "EBADF", 0),
        ("never mapped", (255, 0), "EBADF", 0),
        ("an odd offset", (held, 2), "EINVAL", 0),
        ("behind the end", (held, P), "EINVAL", 0),
        ("far behind the end", (held, 0xFFFF_FFFC), "EINVAL", 0),
    ]


TABLE: dict[str, tuple[tuple[Command, ...], Rows]] = {
    "open": ((Command.OPEN,), _open),
    "close": ((Command.CLOSE,), _close),
    "alloc": ((Command.ALLOC,), _alloc),
    "free": ((Command.FREE,), _free),
    "map": ((Command.MAP,), _map),
    "unmap": ((Command.UNMAP,), _unmap),
    "pattern": ((Command.FILL, Command.VERIFY), _pattern),
    "word": ((Command.PEEK, Command.POKE), _word),
}


@pytest.mark.parametrize("call", TABLE)
def test_bad_arguments_are_refused_each_with_its_errno(scene: Scene, call: str) -> None:
    """Each wrong argument of each call gives its own errno, is counted once, and leaves all as it was.

    Addresses above 2 GiB, sizes that wrap and ranges that end in the kernel's memory are where a check that was
    written with `long` or with a sum in mind gives way. The RFC had hardly any.
    """
    commands, rows = TABLE[call]
    for command in commands:
        expected = {what: (errno, counted) for what, _, errno, counted in rows(scene)}
        assert {what: _outcome(scene.kvmd, command, words) for what, words, _, _ in rows(scene)} == expected


def _outcome(kvmd: Kvmd, command: Command, words: tuple[int, ...]) -> tuple[str, int]:
    """Return the errno, and by how much the count of kvmd's own refusals grew."""
    before = kvmd.stats().refused
    errno = refusal(lambda: kvmd.ioctl(command, *words))
    return errno, kvmd.stats().refused - before


def test_numbers_that_no_call_has_are_refused(kvmd: Kvmd) -> None:
    """An ioctl that the control device does not know is ENOTTY, whether its number is a little or far too large."""
    for command in (0, Command.OPEN - 1, Command.OPEN + 200, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF):
        assert refusal(partial(kvmd.worker.kvmd_ioctl_at, command, 0)) == "ENOTTY"


def test_structures_that_can_not_be_read_or_written_are_refused(lab_machine: Machine, kvmd: Kvmd) -> None:
    """A structure in no memory, in the kernel's, or half outside is EFAULT; one that can't be written to as well.

    In the last case the call has happened already: what it made belongs to the open file, and goes with it.
    """
    worker = lab_machine.agent.spawn()
    page = worker.mem_map(2 * P)
    worker.mem_unmap(page + P, P)
    nowhere = (0, page + P, page + P - 4, USER_END, USER_END - 4, 0xFFFF_FFFC)
    commands = (Command.OPEN, Command.ALLOC, Command.MAP, Command.FILL, Command.POKE)
    for command in commands:
        found = [refusal(partial(worker.kvmd_ioctl_at, command, at)) for at in nowhere]
        assert found == ["EFAULT"] * len(nowhere)
    assert left_over(kvmd.stats()) == {}
    zeros = TEXT + 8  # in the ELF header, so the flags are 0
    assert refusal(lambda: worker.kvmd_ioctl_at(Command.OPEN, zeros)) == "EFAULT"
    assert left_over(kvmd.stats()) == {"attachments": 1}
    worker.exit()
    lab_machine.agent.reap(worker.task)
    assert left_over(kvmd.stats()) == {}


def test_tables_that_are_full_refuse_and_work_again_with_room(kvmd: Kvmd) -> None:
    """64 attachments and 256 maps of one open file; the next is EMFILE, and possible again after one has gone."""
    owners = [kvmd.open() for _ in range(64)]
    assert refusal(kvmd.open) == "EMFILE"
    owners.pop(17).close()
    owners.append(kvmd.open())
    region = owners[0].alloc(P)
    maps = [region.map() for _ in range(256)]
    assert refusal(region.map) == "EMFILE"
    maps.pop(200).unmap()
    maps.append(region.map())
    assert kvmd.stats().mapped_pages == 256
    for owner in owners:
        owner.close()
    assert left_over(kvmd.stats()) == {}


def test_more_than_a_quarter_of_the_memory_can_not_be_held(lab_machine: Machine, kvmd: Kvmd, seed: int) -> None:
    """Held pages can't be swapped: beyond a quarter of the RAM a map is EAGAIN, holds nothing, and works later.

    Without a limit a driver could hold all of it, and the machine would stand still.
    """
    quarter = lab_machine.spec.ram_mib // 4 << 20
    with kvmd.open() as vmd, vmd.alloc(quarter + (2 << 20)) as region:
        region.fill(seed)
        maps: list[Map] = []
        while not refusal(lambda: maps.append(region.map(CHANGE, len(maps) << 18, 1 << 18))):
            assert len(maps) << 18 <= quarter
        held = len(maps) << 18
        assert held >= quarter // 2
        assert refusal(lambda: region.map(CHANGE, held, 1 << 18)) == "EAGAIN"
        assert kvmd.stats().mapped_pages == held // P
        maps.pop().unmap()
        maps.append(region.map(CHANGE, held, 1 << 18))
        for held_map in maps:
            held_map.unmap()
        assert region.verify(seed).bad_words == 0
    assert left_over(kvmd.stats()) == {}
