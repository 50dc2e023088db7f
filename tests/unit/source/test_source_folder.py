"""The user's folder of trees: what is in it is known by its Makefile, whatever it is called."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import msgspec
import pytest

from lab.errors import SourceError
from lab.journal import Journal
from lab.source import at_hand, locate
from lab.source.tarballs import Tarballs, stem
from lab.source.tree import called_by
from lab.version import KernelVersion
from tests.unit.source.toys import NAME, OTHER, Lab, Mirror, make_tree, pack, sha


def test_tree_is_found_by_its_makefile_not_by_its_name(lab: Lab, trees: Path) -> None:
    make_tree(trees / f"linux-{NAME}", OTHER)
    make_tree(trees / "something")
    assert lab.obtain().path == trees / "something"
    assert locate(NAME, lab.settings) == "tree"


def test_tarball_is_found_by_the_makefile_in_it(lab: Lab, trees: Path, tree: Path, tmp_path: Path) -> None:
    pack(make_tree(tmp_path / "o", OTHER), trees / f"linux-{NAME}.tar.gz")
    pack(tree, trees / "something.tar.bz2", "bz2")
    assert lab.obtain().origin == str(trees / "something.tar.bz2")


def test_several_trees_that_say_the_same_of_themselves_are_told(lab: Lab, trees: Path) -> None:
    for name in (f"linux-{NAME}", f"linux-{NAME}-5"):  # a point release has the Makefile of the one before
        make_tree(trees / name)
    assert lab.obtain().path == trees / f"linux-{NAME}"
    assert f"linux-{NAME} is taken for {NAME}, not linux-{NAME}-5: their Makefiles say the same" in lab.notes()


def test_point_release_goes_by_the_name_of_its_folder(lab: Lab, trees: Path, tmp_path: Path) -> None:
    make_tree(trees / f"linux-{NAME}")
    pack(make_tree(tmp_path / "o"), trees / f"linux-{NAME}-5.tar.gz")
    assert [version.text for version in at_hand(lab.settings)] == [NAME, f"{NAME}-5"]
    assert locate(f"{NAME}-5", lab.settings) == "tree"
    found = lab.obtain(f"{NAME}-5")
    assert (found.version.text, found.origin) == (f"{NAME}-5", str(trees / f"linux-{NAME}-5.tar.gz"))
    assert found.version == KernelVersion(NAME)  # so that the same records fit
    with pytest.raises(SourceError, match=f"{NAME}-6"):
        lab.obtain(f"{NAME}-6")


def test_point_release_that_is_taken_for_the_release_is_told(lab: Lab, trees: Path) -> None:
    make_tree(trees / f"linux-{NAME}-5")
    assert lab.obtain().version.text == NAME
    assert f"linux-{NAME}-5 is taken for {NAME}: so says its Makefile" in lab.notes()


def test_tarball_that_is_called_otherwise_is_not_looked_into_for_that(
    lab: Lab, trees: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder may hold fifty of them, and to reach a Makefile takes a second."""
    pack(make_tree(tmp_path / "o", OTHER), trees / "linux-2.3.99-pre4.tar.gz")
    make_tree(trees / f"linux-{NAME}")
    make_tree(trees / "of somebody")
    monkeypatch.setattr("lab.source.archive.makefile_of", lambda _: pytest.fail("looked into a tarball"))
    lab.obtain()
    assert "not of somebody" in lab.notes()


def test_folder_of_trees_that_is_itself_the_tree_is_taken(lab: Lab, trees: Path) -> None:
    make_tree(trees)
    assert lab.obtain().path == trees


def test_damaged_tarball_beside_the_tree_is_passed_over_with_a_note(lab: Lab, trees: Path) -> None:
    (trees / "a.tar.gz").write_bytes(b"\x1f\x8bnothing")
    make_tree(trees / "b")
    assert lab.obtain().path == trees / "b"
    assert locate(NAME, lab.settings) == "tree"


def test_tarball_is_looked_into_once(lab: Lab, trees: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tarball = pack(make_tree(tmp_path / "o", OTHER), trees / f"{NAME}.tar.gz")
    make_tree(trees / "b")
    now = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now() + 10**10)
    lab.obtain()
    known = Tarballs(lab.settings.cache, Journal())
    monkeypatch.setattr("lab.source.archive.makefile_of", lambda _: pytest.fail("looked again"))
    assert known.version(tarball.resolve()) == "2.3.99-pre4"


def test_half_unpacked_tree_in_the_folder_is_told_not_passed_over(lab: Lab, trees: Path, mirror: Mirror) -> None:
    shutil.rmtree(make_tree(trees / "b") / "scripts")
    with pytest.raises(SourceError, match="not whole"):
        lab.obtain()
    assert mirror.asked == []


def test_folder_of_trees_that_is_not_there_is_told(lab: Lab, tmp_path: Path) -> None:
    lab.settings = msgspec.structs.replace(lab.settings, trees=tmp_path / "none")
    with pytest.raises(SourceError, match="KVMD_LAB_TREES"):
        lab.obtain()


@pytest.mark.parametrize(
    ("name", "called"),
    [
        (f"linux-{NAME}-5", f"{NAME}-5"),
        (f"{NAME}-mine.tar.bz2", f"{NAME}-mine"),
        (f"linux-{NAME}", None),
        (f"linux-{NAME}.tgz", None),
        ("linux-2.3.99-pre30", None),
        ("linux", None),
        (f"old-{NAME}-5", None),
    ],
)
def test_name_of_a_place_says_more_than_the_makefile_or_nothing(tmp_path: Path, name: str, called: str | None) -> None:
    found = called_by(stem(tmp_path / name), KernelVersion(NAME))
    assert (None if found is None else found.text) == called


def test_pin_finds_only_tarballs(lab: Lab, trees: Path) -> None:
    tarball = pack(make_tree(trees / NAME), trees / "k.tar.gz")
    assert lab.obtain(sha256=sha(tarball)).origin == str(tarball)


def test_name_that_nobody_knows_is_refused_with_the_known_ones(lab: Lab, trees: Path) -> None:
    (trees / "a.tar").write_bytes(b"nothing")
    with pytest.raises(SourceError, match=r"2\.3\.77") as error:
        lab.obtain("2.3.77")
    assert "2.4.0-test12" in error.value.hint
    assert "a.tar" in error.value.seen[0]
