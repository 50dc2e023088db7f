"""What the tests of this tier need: a real 2.3-era tree, which is found, or they are skipped with one line."""

from __future__ import annotations

import pytest

from lab import source
from lab.journal import Journal
from lab.settings import Settings
from lab.source import Tree

NAME = "2.3.99-pre3"
MISSING = f"no {NAME} tree: set KVMD_LAB_TREES to a folder that holds one, or give --tree its path"


@pytest.fixture(scope="session")
def real_settings() -> Settings:
    """The user's settings."""
    return Settings.from_environment()


@pytest.fixture(scope="session")
def real_tree(real_settings: Settings, pytestconfig: pytest.Config) -> Tree:
    """A pristine tree of the version that the ledger is written for; never downloaded here."""
    given = pytestconfig.getoption("--tree")
    if given is None and (real_settings.trees is None or source.locate(NAME, real_settings) != "tree"):
        pytest.skip(MISSING)
    return source.obtain(NAME, tree=given, settings=real_settings, journal=Journal())
