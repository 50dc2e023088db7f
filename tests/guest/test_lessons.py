"""The lessons, on the kernel that every machine can have."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lab.source import packaged
from tests.lessons import LESSONS, walk

OF_ANY_KERNEL = [path for path in LESSONS if "$KERNEL" in path.read_text()]


@pytest.mark.parametrize("lesson", OF_ANY_KERNEL, ids=lambda path: path.stem)
def test_lesson_says_what_happens(lesson: Path, tmp_path: Path) -> None:
    environment = os.environ | {"KVMD_LAB_RUNS": str(tmp_path), "PYTEST_ADDOPTS": "", "KERNEL": packaged.current()}
    assert walk(lesson, environment) > 0
