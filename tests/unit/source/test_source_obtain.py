from __future__ import annotations

import errno
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from lab.errors import DownloadError, HostError, SourceError, UsageError
from lab.source import locate
from tests.unit.source import toys
from tests.unit.source.toys import MAKEFILE, NAME, OTHER, Lab, Mirror, file, make_tree, pack, raw_tar, sha

PATH = f"/v2.3/linux-{NAME}.tar"


# what the user names


def test_folder_and_tarballs_of_it_give_one_digest(lab: Lab, tree: Path, tmp_path: Path) -> None:
    first = lab.obtain(tree=tree)
    assert (first.path, first.version.text, first.origin) == (tree, NAME, str(tree))
    for packing in ("", "gz", "bz2", "xz"):
        tarball = pack(tree, tmp_path / f"k {packing}", packing, top=f"any-{packing}")
        again = lab.obtain(tree=tarball)
        assert again.digest == first.digest
        assert again.path.name == f"any-{packing}"


def test_no_name_takes_whatever_the_tree_is(lab: Lab, tmp_path: Path) -> None:
    assert lab.obtain(None, tree=make_tree(tmp_path / NAME, OTHER)).version.text == "2.3.99-pre4"


def test_neither_name_nor_tree_is_a_usage_error(lab: Lab) -> None:
    with pytest.raises(UsageError, match="neither"):
        lab.obtain(None)


def test_folder_of_another_version_is_refused_with_both_names(lab: Lab, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / f"linux-{NAME}", OTHER)
    with pytest.raises(SourceError, match=r"is 2\.3\.99-pre4 .* 2\.3\.99-pre3 was asked for"):
        lab.obtain(tree=tree)


def test_tarball_of_another_version_is_refused_and_nothing_stored(lab: Lab, tmp_path: Path) -> None:
    tarball = pack(make_tree(tmp_path / "t", OTHER), tmp_path / f"linux-{NAME}.tar.gz")
    with pytest.raises(SourceError, match=r"is 2\.3\.99-pre4 .* 2\.3\.99-pre3 was asked for") as error:
        lab.obtain(tree=tarball)
    assert str(tarball) in str(error.value)
    assert lab.left() == set()


@pytest.mark.parametrize("packed", [False, True])
def test_half_unpacked_tree_is_refused_with_what_is_missing(lab: Lab, tree: Path, tmp_path: Path, packed: bool) -> None:
    shutil.rmtree(tree / "scripts")
    with pytest.raises(SourceError, match=r"not whole: missing or empty: scripts/Configure"):
        lab.obtain(tree=pack(tree, tmp_path / "k.tar.gz") if packed else tree)
    assert lab.left() == set()


@pytest.mark.parametrize("packed", [False, True])
def test_tree_with_build_litter_is_refused(lab: Lab, tree: Path, tmp_path: Path, packed: bool) -> None:
    (tree / "kernel/sched.o").write_text("x")
    with pytest.raises(SourceError, match=r"kernel/sched\.o") as error:
        lab.obtain(tree=pack(tree, tmp_path / "k.tar.gz") if packed else tree)
    assert "make mrproper" in error.value.hint
    assert lab.left() == set()


def test_path_that_is_not_there_is_refused(lab: Lab, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="there is no"):
        lab.obtain(tree=tmp_path / "none")


def test_hostile_tarball_leaves_nothing_behind(lab: Lab, tmp_path: Path) -> None:
    tarball = tmp_path / "k.tar"
    tarball.write_bytes(raw_tar([file("linux/Makefile", MAKEFILE.encode()), file("../../evil", b"x")]))
    with pytest.raises(SourceError, match=r"evil leads out") as error:
        lab.obtain(tree=tarball)
    assert error.value.exit_code == 3
    assert lab.left() == set()
    assert not list(tmp_path.rglob("evil"))


def test_truncated_tarball_leaves_nothing_behind(lab: Lab, tree: Path, tmp_path: Path) -> None:
    tarball = pack(tree, tmp_path / "k.tar.xz", "xz")
    tarball.write_bytes(tarball.read_bytes()[:-40])
    with pytest.raises(SourceError, match=r"unpacking .*k\.tar\.xz"):
        lab.obtain(tree=tarball)
    assert lab.left() == set()


# pins


def test_pinned_tarball_with_that_hash_is_taken(lab: Lab, tree: Path, tmp_path: Path) -> None:
    tarball = pack(tree, tmp_path / "k.tar.gz")
    assert lab.obtain(tree=tarball, sha256=sha(tarball).upper()).version.text == NAME


def test_pinned_tarball_with_another_hash_is_refused(lab: Lab, tree: Path, tmp_path: Path) -> None:
    tarball = pack(tree, tmp_path / "k.tar.gz")
    with pytest.raises(SourceError, match=f"is {sha(tarball)}, not {'0' * 64}"):
        lab.obtain(tree=tarball, sha256="0" * 64)
    assert lab.left() == set()


@pytest.mark.parametrize("pin", ["abc", "g" * 64])
def test_pin_that_is_no_hash_is_a_usage_error(lab: Lab, tree: Path, pin: str) -> None:
    with pytest.raises(UsageError, match="not a SHA-256"):
        lab.obtain(tree=tree, sha256=pin)


def test_pin_for_a_folder_is_a_usage_error(lab: Lab, tree: Path) -> None:
    with pytest.raises(UsageError, match="is a folder"):
        lab.obtain(tree=tree, sha256="0" * 64)


# first use


def edit(tree: Path) -> None:
    (tree / "mm/memory.c").write_text("/* edited */\n")


def test_folder_changed_since_first_use_is_refused_with_the_file(lab: Lab, tree: Path) -> None:
    lab.obtain(tree=tree)
    edit(tree)
    with pytest.raises(SourceError, match="has changed since its first use") as error:
        lab.obtain(tree=tree)
    assert error.value.seen == ("changed mm/memory.c",)
    assert "--accept-changed" in error.value.hint


def test_change_that_was_accepted_is_the_new_record(lab: Lab, tree: Path) -> None:
    before = lab.obtain(tree=tree)
    edit(tree)
    accepted = lab.obtain(tree=tree, accept_changed=True)
    assert accepted.digest != before.digest
    assert lab.obtain(tree=tree).digest == accepted.digest
    assert "accepted its change" in lab.notes()


def test_tarball_replaced_since_first_use_is_refused(lab: Lab, tree: Path, tmp_path: Path) -> None:
    tarball = pack(tree, tmp_path / "k.tar.gz")
    lab.obtain(tree=tarball)
    edit(tree)
    pack(tree, tarball)
    with pytest.raises(SourceError, match="has changed since its first use") as error:
        lab.obtain(tree=tarball)
    assert error.value.seen == ("changed mm/memory.c",)


def test_unpacked_tree_edited_in_the_cache_is_refused_with_its_place(lab: Lab, tree: Path, tmp_path: Path) -> None:
    unpacked = lab.obtain(tree=pack(tree, tmp_path / "k.tar.gz")).path
    edit(unpacked)
    with pytest.raises(SourceError, match="has changed since its first use") as error:
        lab.obtain(tree=tmp_path / "k.tar.gz")
    assert f"remove {unpacked.parent} " in error.value.hint


def test_removed_unpacked_tree_is_unpacked_anew(lab: Lab, tree: Path, tmp_path: Path) -> None:
    before = lab.obtain(tree=pack(tree, tmp_path / "k.tar.gz"))
    shutil.rmtree(before.path.parent)
    assert lab.obtain(tree=tmp_path / "k.tar.gz") == before


# cache and mirrors


def test_download_is_stored_and_used_again(lab: Lab, tree: Path, tmp_path: Path, mirror: Mirror) -> None:
    mirror.files[PATH + ".gz"] = pack(tree, tmp_path / "k").read_bytes()
    assert locate(NAME, lab.settings) == "download"
    first = lab.obtain()
    assert first.origin == f"{mirror.url}{PATH}.gz"
    asked = len(mirror.asked)
    assert locate(NAME, lab.settings) == "cache"
    assert lab.obtain() == first
    assert len(mirror.asked) == asked
    assert first.digest == lab.obtain(tree=tree).digest


def test_unpacked_download_that_was_removed_is_unpacked_from_the_tarball(
    lab: Lab, tree: Path, tmp_path: Path, mirror: Mirror
) -> None:
    mirror.files[PATH + ".gz"] = pack(tree, tmp_path / "k").read_bytes()
    first = lab.obtain()
    shutil.rmtree(first.path.parent)
    mirror.files.clear()
    assert lab.obtain() == first


def test_mirror_with_another_kernel_under_the_name_is_passed_over(
    lab: Lab, tree: Path, tmp_path: Path, mirror: Mirror, other_mirror: Mirror
) -> None:
    mirror.files[PATH + ".gz"] = pack(make_tree(tmp_path / "o", OTHER), tmp_path / "a").read_bytes()
    other_mirror.files[PATH + ".gz"] = pack(tree, tmp_path / "b").read_bytes()
    lab.settings = msgspec.structs.replace(lab.settings, mirrors=(mirror.url, other_mirror.url))
    assert lab.obtain().origin.startswith(other_mirror.url)
    assert "is 2.3.99-pre4" in lab.notes()


DAMAGED: list[Callable[[bytes], bytes]] = [lambda data: data[:-30], lambda data: toys.flipped(data, len(data) // 2)]


@pytest.mark.parametrize("damage", DAMAGED)
def test_damaged_tarball_of_a_mirror_is_never_stored(
    lab: Lab, tree: Path, tmp_path: Path, mirror: Mirror, damage: Callable[[bytes], bytes]
) -> None:
    mirror.files[PATH + ".gz"] = damage(pack(tree, tmp_path / "k").read_bytes())
    with pytest.raises(DownloadError, match=r"tar\.gz: ") as error:
        lab.obtain()
    assert error.value.exit_code == 3
    assert lab.left() == set()


def test_download_with_another_hash_than_pinned_is_refused(
    lab: Lab, tree: Path, tmp_path: Path, mirror: Mirror
) -> None:
    mirror.files[PATH + ".gz"] = pack(tree, tmp_path / "k").read_bytes()
    with pytest.raises(DownloadError, match="its SHA-256 is"):
        lab.obtain(sha256="0" * 64)
    assert lab.left() == set()


def test_two_runs_at_once_download_once(lab: Lab, tree: Path, tmp_path: Path, mirror: Mirror) -> None:
    mirror.files[PATH + ".xz"] = pack(tree, tmp_path / "k", "xz").read_bytes()
    got: list[str] = []
    threads = [threading.Thread(target=lambda: got.append(lab.obtain().digest), daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(got) == 3
    assert len(set(got)) == 1
    assert len(mirror.asked) == 1


def test_interrupt_while_unpacking_leaves_nothing_half_done(
    lab: Lab, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "utime", interrupt)
    with pytest.raises(KeyboardInterrupt):
        lab.obtain(tree=pack(tree, tmp_path / "k.tar.gz"))
    assert lab.left() == set()


# the host's trouble


@pytest.fixture
def read_only_cache(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """No folder can be made below the cache, so no file either, as on a read-only file system."""
    cache = str(lab.settings.cache)
    make_folder = os.mkdir

    def refuse(path: Any, *rest: Any, **options: Any) -> None:
        if str(path).startswith(cache):
            raise OSError(errno.EROFS, "Read-only file system", str(path))
        make_folder(path, *rest, **options)

    monkeypatch.setattr(os, "mkdir", refuse)


@pytest.mark.usefixtures("read_only_cache")
def test_read_only_cache_still_gives_a_folder(lab: Lab, tree: Path) -> None:
    assert lab.obtain(tree=tree).digest == lab.obtain(tree=tree).digest
    assert "could not be recorded" in lab.notes()
    assert not lab.settings.cache.exists()


@pytest.mark.usefixtures("read_only_cache")
def test_read_only_cache_cannot_take_a_tarball(lab: Lab, tree: Path, tmp_path: Path) -> None:
    with pytest.raises(HostError, match="the file system is read-only") as error:
        lab.obtain(tree=pack(tree, tmp_path / "k.tar.gz"))
    assert "KVMD_LAB_CACHE" in error.value.hint


def test_full_disk_while_unpacking_is_told_and_leaves_nothing(
    lab: Lab, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tarball = pack(tree, tmp_path / "k.tar.gz")

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("lab.source.archive.os.write", full)
    with pytest.raises(HostError, match="the disk is full"):
        lab.obtain(tree=tarball)
    assert lab.left() == set()


def test_tree_has_the_name_that_the_user_gives_it(lab: Lab, tree: Path) -> None:
    assert lab.obtain(None, tree=tree, called=f"{NAME}-5").version.text == f"{NAME}-5"
    assert lab.obtain(f"{NAME}-5", tree=tree, called=f"{NAME}-5").version.text == f"{NAME}-5"
    with pytest.raises(SourceError, match=f"{NAME}-6 was asked for"):
        lab.obtain(f"{NAME}-6", tree=tree, called=f"{NAME}-5")
    with pytest.raises(UsageError, match=r"2\.4\.0 is no name for .*, which is 2\.3\.99-pre3") as caught:
        lab.obtain(None, tree=tree, called="2.4.0")
    assert caught.value.hint == f"--as {NAME}-SOMETHING"
