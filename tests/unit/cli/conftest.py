from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.cli.calls import Call
from tests.unit.source.toys import Mirror


@pytest.fixture(scope="session")
def empty_mirror() -> Iterator[Mirror]:
    """A mirror that has nothing, and says so at once."""
    with Mirror() as mirror:
        yield mirror


@pytest.fixture
def call(tmp_path: Path, empty_mirror: Mirror) -> Call:
    return Call(tmp_path, empty_mirror.url)
