from __future__ import annotations

import re
from pathlib import Path

import pytest

from lab.errors import SourceError
from lab.source.contents import scan
from lab.source.tree import check_pristine, check_version, check_whole, version_in, version_of
from lab.version import KernelVersion
from tests.unit.source.toys import NAME

VERSION = KernelVersion(NAME)


@pytest.mark.parametrize(
    ("makefile", "expected"),
    [
        ("VERSION = 2\nPATCHLEVEL = 3\nSUBLEVEL = 99\nEXTRAVERSION = -pre3\n", "2.3.99-pre3"),
        ("VERSION=2\r\nPATCHLEVEL=4\r\nSUBLEVEL=0\r\nEXTRAVERSION=-test12\r\n", "2.4.0-test12"),
        ("# SPDX\nVERSION = 6\nPATCHLEVEL = 1\nSUBLEVEL = 0\nEXTRAVERSION =\nNAME = x\n", "6.1.0"),
        ("VERSION = 2 # two\nPATCHLEVEL = 3\nSUBLEVEL = 51\nEXTRAVERSION =\nVERSION = 9\n", "2.3.51"),
    ],
)
def test_makefile_states_the_version(makefile: str, expected: str) -> None:
    assert version_in(makefile, "x").text == expected


@pytest.mark.parametrize("makefile", ["", "all:\n\techo VERSION = 2\n", "VERSION = x\nPATCHLEVEL = y\n"])
def test_makefile_of_something_else_is_refused(makefile: str) -> None:
    with pytest.raises(SourceError, match="the Makefile of here"):
        version_in(makefile, "here")


def test_folder_without_makefile_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="not a kernel tree"):
        version_of(tmp_path, "here")


def test_tree_of_another_version_is_refused_with_both_names() -> None:
    with pytest.raises(SourceError, match=r"here is 2\.3\.99-pre3 .* 2\.3\.99-pre4 was asked for"):
        check_version(VERSION, "2.3.99-pre4", "here")


def test_release_with_extended_version_is_not_that_release() -> None:
    with pytest.raises(SourceError):
        check_version(KernelVersion("2.3.99-pre3-mine"), NAME, "here")


def test_whole_tree_is_accepted(tree: Path) -> None:
    check_whole(tree, VERSION, "here")
    check_pristine(VERSION, scan(tree)[0], "here")


def test_half_unpacked_tree_is_refused_with_what_is_missing(tree: Path) -> None:
    (tree / "scripts/Configure").unlink()
    (tree / "mm/memory.c").write_bytes(b"")
    with pytest.raises(SourceError, match=r"missing or empty: mm/memory\.c, scripts/Configure\n"):
        check_whole(tree, VERSION, "here")


def test_tree_of_unknown_era_is_refused(tree: Path) -> None:
    with pytest.raises(SourceError, match=r"here is 6\.0\.0; the lab knows only"):
        check_whole(tree, KernelVersion("6.0.0"), "here")


@pytest.mark.parametrize(
    "litter",
    ["kernel/sched.o", "lib/lib.a", ".config", ".depend", "fs/.depend", "vmlinux", "include/linux/autoconf.h"],
)
def test_tree_with_build_litter_is_refused_by_name(tree: Path, litter: str) -> None:
    (tree / litter).write_text("x")
    with pytest.raises(SourceError, match=f"not pristine, .*: {re.escape(litter)}\n") as error:
        check_pristine(VERSION, scan(tree)[0], "here")
    assert "mrproper" in error.value.hint


def test_tree_with_asm_link_is_refused(tree: Path) -> None:
    (tree / "include/asm").symlink_to("asm-i386")
    with pytest.raises(SourceError, match=r": include/asm\n"):
        check_pristine(VERSION, scan(tree)[1], "here")


def test_version_file_of_a_driver_is_no_litter() -> None:
    check_pristine(VERSION, [b"drivers/sound/.version"], "here")


def test_git_repository_is_refused_with_the_way_out() -> None:
    with pytest.raises(SourceError, match="git repository") as error:
        check_pristine(VERSION, [b".git/HEAD", b"Makefile"], "/a b")
    assert "git -C '/a b' archive" in error.value.hint


def test_tree_of_a_release_without_records_is_not_said_to_be_damaged(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="not whole") as caught:
        check_whole(tmp_path, KernelVersion("2.3.20"), "it")
    assert caught.value.hint.startswith("no records were written for 2.3.20")
    with pytest.raises(SourceError, match="not whole") as caught:
        check_whole(tmp_path, VERSION, "it")
    assert caught.value.hint.startswith("unpack it again")
