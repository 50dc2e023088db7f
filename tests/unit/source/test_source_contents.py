from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.errors import SourceError
from lab.source import contents
from lab.source.contents import differences, read_contents
from lab.source.memo import Memo


@pytest.fixture
def memo(tmp_path: Path) -> Memo:
    return Memo(tmp_path / "cache")


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the files had been written ten seconds ago."""
    now = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now() + 10_000_000_000)


def forbidden(path: bytes) -> bytes:
    raise AssertionError(f"{path!r} was read")


def test_copy_with_other_times_modes_and_empty_folder_has_the_same_digest(tree: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(tree, copy)
    for path in copy.rglob("*.c"):
        path.chmod(0o755)
        os.utime(path, (1, 1))
    (copy / "empty").mkdir()
    first = read_contents(tree, Memo(tmp_path / "a"))
    second = read_contents(copy, Memo(tmp_path / "b"))
    assert first == second


def change_byte(tree: Path) -> None:
    path = tree / "mm/memory.c"
    path.write_bytes(path.read_bytes().replace(b"mm", b"nn", 1))


def rename(tree: Path) -> None:
    (tree / "mm/memory.c").rename(tree / "mm/memory2.c")


def file_to_link(tree: Path) -> None:
    (tree / "mm/memory.c").unlink()
    (tree / "mm/memory.c").symlink_to("vmscan.c")


def swap(tree: Path) -> None:
    one, two = tree / "mm/memory.c", tree / "mm/vmscan.c"
    first = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(first)


@pytest.mark.parametrize("change", [change_byte, rename, file_to_link, swap])
@pytest.mark.usefixtures("later")
def test_change_in_the_tree_changes_the_digest(tree: Path, memo: Memo, change: Callable[[Path], None]) -> None:
    before = read_contents(tree, memo)
    change(tree)
    assert read_contents(tree, memo).digest != before.digest


def test_link_to_elsewhere_in_the_tree_changes_the_digest(tree: Path, memo: Memo) -> None:
    link = tree / "include/asm"
    link.symlink_to("asm-i386")
    before = read_contents(tree, memo)
    link.unlink()
    link.symlink_to("linux")
    assert read_contents(tree, memo).digest != before.digest


@pytest.mark.usefixtures("later")
def test_unchanged_tree_is_not_read_again(tree: Path, memo: Memo, monkeypatch: pytest.MonkeyPatch) -> None:
    before = read_contents(tree, memo)
    monkeypatch.setattr(contents, "hash_file", forbidden)
    assert read_contents(tree, memo) == before


@pytest.mark.parametrize(("age", "read_again"), [(0.0, True), (3600.0, False)])
def test_file_written_twice_in_one_tick_is_read_again(
    tree: Path, memo: Memo, monkeypatch: pytest.MonkeyPatch, age: float, read_again: bool
) -> None:
    """All stamps stay the same, as when both writes fall into one tick; only the age tells that this can happen."""
    when = time.time_ns() - int(age * 1e9)
    monkeypatch.setattr(contents, "stamp", lambda status: (status.st_size, when, when, 1))
    before = read_contents(tree, memo)
    change_byte(tree)
    assert (read_contents(tree, memo).digest != before.digest) == read_again


def test_whole_second_timestamps_are_trusted_only_after_two_seconds(
    tree: Path, memo: Memo, monkeypatch: pytest.MonkeyPatch
) -> None:
    when = (time.time_ns() // 10**9 - 1) * 10**9
    monkeypatch.setattr(time, "time_ns", lambda: when + 1_500_000_000)
    monkeypatch.setattr(contents, "stamp", lambda status: (status.st_size, when, when, 1))
    before = read_contents(tree, memo)
    change_byte(tree)
    assert read_contents(tree, memo).digest != before.digest


@pytest.mark.usefixtures("later")
def test_index_cut_off_is_made_anew(tree: Path, memo: Memo) -> None:
    before = read_contents(tree, memo)
    (index,) = memo.root.rglob("*.msgpack")
    index.write_bytes(index.read_bytes()[:100])
    assert read_contents(tree, memo) == before
    assert index.stat().st_size > 100


def test_cache_path_that_cannot_be_a_folder_gives_the_same_digest(tree: Path, memo: Memo, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert read_contents(tree, Memo(blocked)) == read_contents(tree, memo)


def test_name_that_is_not_text_is_read(tree: Path, memo: Memo) -> None:
    with open(os.fsencode(tree) + b"/\xff\xfe.c", "wb") as file:  # noqa: PTH123
        file.write(b"x")
    assert b"\xff\xfe.c" in read_contents(tree, memo).files


def test_pipe_in_the_tree_is_refused_by_name(tree: Path, memo: Memo) -> None:
    os.mkfifo(tree / "fs/pipe")
    with pytest.raises(SourceError, match=r"fs/pipe is neither"):
        read_contents(tree, memo)


@pytest.mark.parametrize("target", ["/etc", "../../..", "loop/../../.."])
def test_link_out_of_the_tree_is_refused_by_name(tree: Path, memo: Memo, target: str) -> None:
    (tree / "include/out").symlink_to(target)
    with pytest.raises(SourceError, match=r"include/out is a link that leads out"):
        read_contents(tree, memo)


def test_unreadable_file_is_refused_by_name(tree: Path, memo: Memo, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: bytes) -> bytes:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(contents, "hash_file", denied)
    with pytest.raises(SourceError, match=r"Permission denied"):
        read_contents(tree, memo)


def test_differences_name_a_few_paths() -> None:
    before = {b"a": b"f1", b"b": b"f2", b"c": b"f3"}
    after = {b"a": b"f1", b"b": b"f9", b"d": b"f4"}
    assert differences(before, after) == ["changed b", "gone    c", "new     d"]
    assert differences(before, after, most=1) == ["changed b", "and 2 more"]
