"""The lessons, on the kernel that they are about."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lab.source import Tree
from tests.lessons import LESSONS, walk
from tests.real.conftest import NAME


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem)
def test_lesson_says_what_happens(lesson: Path, real_tree: Tree, tmp_path: Path) -> None:
    given = {
        "KVMD_LAB_RUNS": str(tmp_path),
        "PYTEST_ADDOPTS": "",
        "KERNEL": NAME,
        "KVMD_LAB_TREES": str(real_tree.path.parent),
    }
    assert walk(lesson, os.environ | given) > 0
