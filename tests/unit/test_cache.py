from __future__ import annotations

import errno
import os
import shutil
import threading
from pathlib import Path

import pytest

from lab.cache import Cache, digest, file_digest, folder_digest
from lab.errors import HostError, LabError
from lab.host_trouble import host_trouble


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "ein Lager für Größeres")


def left(cache: Cache, kind: str = "toys") -> list[str]:
    return sorted(path.name for path in (cache.root / kind).iterdir() if not path.name.startswith(".lock-"))


def test_entry_is_made_once(cache: Cache) -> None:
    made = []

    def make(folder: Path) -> None:
        made.append(folder)
        (folder / "file").write_text("one")

    assert cache.find("toys", "key") is None
    first = cache.entry("toys", "key", make)
    assert cache.entry("toys", "key", make) == first == cache.find("toys", "key")
    assert (first / "file").read_text() == "one"
    assert (len(made), left(cache)) == (1, ["key"])


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), SystemExit(1)])
def test_entry_whose_making_fails_is_not_there_and_can_be_made_again(cache: Cache, error: BaseException) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").write_text("half")
        raise error

    with pytest.raises(type(error)):
        cache.entry("toys", "key", fail)
    assert left(cache) == []
    cache.entry("toys", "key", lambda folder: (folder / "file").touch())
    assert left(cache) == ["key"]


def test_what_a_killed_process_left_goes_when_the_entry_is_made(cache: Cache) -> None:
    (cache.root / "toys" / ".new-key-1" / "deep").mkdir(parents=True)
    (cache.root / "toys" / ".new-other-1").mkdir()
    cache.entry("toys", "key", lambda folder: (folder / "file").touch())
    assert left(cache) == [".new-other-1", "key"]


def test_entry_that_two_threads_want_is_made_once(cache: Cache) -> None:
    made = []
    first_is_in, go_on = threading.Event(), threading.Event()

    def make(folder: Path) -> None:
        made.append(folder)
        first_is_in.set()
        assert go_on.wait(10)
        (folder / "file").write_text("one")

    threads = [threading.Thread(target=cache.entry, args=("toys", "key", make)) for _ in range(2)]
    threads[0].start()
    assert first_is_in.wait(10)
    threads[1].start()
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert len(made) == 1


@pytest.mark.parametrize(
    ("number", "what"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "the disk quota is used up"),
        (errno.EROFS, "the file system is read-only"),
        (errno.EACCES, "permission denied"),
    ],
)
def test_host_that_cannot_write_is_a_host_error_that_says_what_to_try(
    cache: Cache, monkeypatch: pytest.MonkeyPatch, number: int, what: str
) -> None:
    def trouble(path: Path, *_args: object, **_more: object) -> None:
        raise OSError(number, "trouble", str(path))

    monkeypatch.setattr(Path, "mkdir", trouble)
    with pytest.raises(HostError, match=what) as caught:
        cache.entry("toys", "key", lambda folder: (folder / "file").touch())
    assert str(cache.root) in str(caught.value)
    assert "KVMD_LAB_CACHE" in caught.value.hint


def test_disk_that_fills_up_while_an_entry_is_made_leaves_nothing(cache: Cache) -> None:
    def make(folder: Path) -> None:
        (folder / "half").write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device", str(folder / "rest"))

    with pytest.raises(HostError, match=r"the disk is full \(.*rest\)"):
        cache.entry("toys", "key", make)
    assert left(cache) == []


def test_cache_that_is_a_file_is_a_host_error(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("mine")
    with pytest.raises(HostError, match="a file is where a folder should be"):
        Cache(tmp_path / "cache").entry("toys", "key", lambda folder: (folder / "file").touch())
    assert (tmp_path / "cache").read_text() == "mine"


def test_trouble_that_is_not_the_host_s_passes_as_it_is() -> None:
    with pytest.raises(FileNotFoundError), host_trouble("looking"):
        Path("/nowhere/at/all").read_text(encoding="utf-8")
    with pytest.raises(LabError, match="mine"), host_trouble("looking"):
        raise LabError("mine")


def test_digest_tells_parts_apart() -> None:
    assert digest("ab", "c") != digest("a", "bc")
    assert digest("a") != digest("a", "")
    assert digest("é") == digest("é".encode())
    assert len(digest()) == 64


def test_digest_of_a_folder_follows_names_and_contents(tmp_path: Path) -> None:
    one = tmp_path / "one"
    (one / "sub").mkdir(parents=True)
    (one / "sub" / "a").write_text("text")
    shutil.copytree(one, tmp_path / "two")
    os.utime(tmp_path / "two" / "sub" / "a", (0, 0))
    (tmp_path / "two" / "__pycache__").mkdir()
    (tmp_path / "two" / "__pycache__" / "a.pyc").write_text("noise")
    assert folder_digest(one) == folder_digest(tmp_path / "two")
    (one / "sub" / "a").rename(one / "sub" / "b")
    assert folder_digest(one) != folder_digest(tmp_path / "two")


def test_digest_of_a_file_is_its_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    assert file_digest(tmp_path / "a") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
