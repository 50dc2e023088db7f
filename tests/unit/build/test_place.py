from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from lab.build.place import bearable, check_bearable_today, environment
from lab.errors import HostError


@pytest.fixture(autouse=True)
def links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where links go."""
    folder = tmp_path / "links"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(folder))
    return folder


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    folder = tmp_path / "ein Baum: $(100%) 'für' #alle"
    folder.mkdir()
    return folder


def test_path_that_make_can_bear_stays_as_it_is(tmp_path: Path, links: Path) -> None:
    tree = tmp_path / "Bäume-1.0+x@y_z"
    with bearable(tree, tmp_path / "log") as place:
        assert place == tree
        assert list(links.iterdir()) == []


@pytest.mark.parametrize("mark", list(" :#$%'\"()*,;<=>?[]\\`{|}~&!\t"))
def test_path_that_make_cannot_bear_has_a_link_meanwhile(tmp_path: Path, links: Path, mark: str) -> None:
    tree = tmp_path / f"a{mark}b"
    tree.mkdir()
    with bearable(tree, tmp_path / "log") as place:
        assert place.parent == links
        assert place.resolve() == tree
        assert mark not in str(place)
    assert list(links.iterdir()) == []


def test_link_has_the_same_name_each_time_and_another_for_another_tree(odd: Path, tmp_path: Path) -> None:
    names = []
    for tree in (odd, odd, odd / "other one"):
        with bearable(tree, tmp_path / "log") as place:
            names.append(place.name)
    assert names[0] == names[1] != names[2]


def test_link_is_in_the_log_so_that_the_commands_can_be_repeated(odd: Path, tmp_path: Path) -> None:
    with bearable(odd, tmp_path / "log") as place:
        pass
    assert (tmp_path / "log").read_text().startswith("$ ln -s ")
    assert (tmp_path / "log").read_text().endswith(f" {place}\n")


def test_link_goes_whatever_happens(odd: Path, tmp_path: Path, links: Path) -> None:
    with pytest.raises(KeyboardInterrupt), bearable(odd, tmp_path / "log"):
        raise KeyboardInterrupt
    assert list(links.iterdir()) == []


def test_link_left_by_a_killed_process_is_made_anew(odd: Path, tmp_path: Path, links: Path) -> None:
    with bearable(odd, tmp_path / "log") as place:
        name = place.name
    (links / name).symlink_to("/nowhere")
    with bearable(odd, tmp_path / "log") as place:
        assert place.resolve() == odd


def test_file_where_the_link_goes_is_a_host_error_and_stays(odd: Path, tmp_path: Path, links: Path) -> None:
    with bearable(odd, tmp_path / "log") as place:
        name = place.name
    (links / name).write_text("mine")
    with pytest.raises(HostError, match="is in the way"), bearable(odd, tmp_path / "log"):
        pass
    assert (links / name).read_text() == "mine"


def test_no_place_for_a_link_is_a_host_error(odd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_args: False)
    told = "characters that the old Makefiles cannot bear"
    with pytest.raises(HostError, match=told) as caught, bearable(odd, tmp_path / "log"):
        pass
    assert "KVMD_LAB_CACHE" in caught.value.hint


def test_environment_holds_nothing_that_changes_what_make_does(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MAKEFLAGS", "MAKELEVEL", "CPATH", "C_INCLUDE_PATH", "SUBDIRS", "CONFIG_SMP", "LANG", "LC_MESSAGES"):
        monkeypatch.setenv(name, "odd")
    have = environment(Path("/some/tree"))
    assert have["PATH"] == os.environ["PATH"]
    assert (have["PWD"], have["LC_ALL"]) == ("/some/tree", "C")
    assert "odd" not in have.values()


@pytest.mark.parametrize("mark", [" ", ":", "\t", "\n"])
def test_path_that_todays_make_refuses_is_told_also_behind_a_link(tmp_path: Path, mark: str) -> None:
    (tmp_path / f"a{mark}b").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / f"a{mark}b")
    with pytest.raises(HostError, match="no path with a space or a colon") as caught:
        check_bearable_today(tmp_path / "link" / "tree")
    assert caught.value.hint == "set KVMD_LAB_CACHE to a folder without them"


def test_path_that_todays_make_takes_is_none(tmp_path: Path) -> None:
    check_bearable_today(tmp_path / "Bäume-1.0+x@y'_z")
