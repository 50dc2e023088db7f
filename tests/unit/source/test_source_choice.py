from __future__ import annotations

from pathlib import Path

import pytest

from lab.settings import Settings
from lab.source import choice, packaged
from tests.unit.source.toys import NAME, Mirror, Request, make_tree


def settings(tmp_path: Path, *, mirror: str = "http://127.0.0.1:9", trees: Path | None = None) -> Settings:
    return Settings(cache=tmp_path / "cache", runs=tmp_path / "runs", mirrors=(mirror,), trees=trees)


def test_tree_of_the_user_is_taken_first(tmp_path: Path) -> None:
    make_tree(tmp_path / "trees" / "some folder")
    taken = choice.choose(settings(tmp_path, trees=tmp_path / "trees"))
    assert (taken.name, taken.why) == (NAME, "its tree is in KVMD_LAB_TREES")


def test_release_server_that_answers_is_next(tmp_path: Path) -> None:
    with Mirror() as mirror:
        mirror.files["/"] = b"a list of folders"
        taken = choice.choose(settings(tmp_path, mirror=mirror.url))
    assert (taken.name, taken.why) == (NAME, "a release server answers")


def test_neither_tree_nor_server_leads_to_the_distributions_kernel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packaged, "FOLDER", tmp_path)
    (tmp_path / "linux-source-6.12.tar.xz").touch()
    taken = choice.choose(settings(tmp_path))
    assert (taken.name, taken.embedded) == ("6.12", True)
    assert "KVMD_LAB_TREES" in taken.why


def test_server_that_is_silent_is_not_waited_for_longer_than_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "SECONDS", 0.2)

    def says_nothing(request: Request, _data: bytes) -> None:
        request.mirror.done.wait(10)

    with Mirror() as mirror:
        mirror.files["/"] = b"a list of folders"
        mirror.manners = [says_nothing]
        assert choice.choose(settings(tmp_path, mirror=mirror.url)).embedded
