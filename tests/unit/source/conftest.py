from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.journal import Journal
from lab.settings import Settings
from tests.unit.source.toys import Mirror, make_tree


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
