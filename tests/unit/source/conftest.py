from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from lab.journal import Journal
from lab.settings import Settings
from lab.source import download
from lab.source.download import Patience
from tests.unit.source.toys import Lab, Mirror, make_tree


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tiny whole tree, in a folder whose name has a space and letters that are not ASCII."""
    return make_tree(tmp_path / "Bäume und Wälder" / "linux")


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    with Mirror() as it:
        yield it


@pytest.fixture
def other_mirror() -> Iterator[Mirror]:
    with Mirror() as it:
        yield it


@pytest.fixture
def journal() -> Journal:
    return Journal()


@pytest.fixture
def settings(tmp_path: Path, mirror: Mirror) -> Settings:
    return Settings(cache=tmp_path / "cache é", runs=tmp_path / "runs", mirrors=(mirror.url,))


@pytest.fixture
def lab(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setattr(download, "Patience", lambda: Patience(pause=0.01, rounds=2, silence=1))
    return Lab(settings)


@pytest.fixture
def trees(lab: Lab, tmp_path: Path) -> Path:
    folder = tmp_path / "Bäume"
    folder.mkdir()
    lab.settings = msgspec.structs.replace(lab.settings, trees=folder)
    return folder
