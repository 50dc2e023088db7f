"""What runs the lessons notices when a lesson is wrong."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.lessons import LESSONS, walk


def test_there_are_lessons() -> None:
    assert len(LESSONS) == 4


def test_command_that_says_what_the_lesson_says_passes(tmp_path: Path) -> None:
    lesson = tmp_path / "lesson.md"
    lesson.write_text("Text.\n\n```console\n$ kvmd-lab run --list\n...\nqueue\n...\n```\n")
    assert walk(lesson, os.environ) == 1


@pytest.mark.parametrize("command", ["run --list", "no-such-command"])
def test_command_that_says_something_else_fails(command: str, tmp_path: Path) -> None:
    lesson = tmp_path / "lesson.md"
    lesson.write_text(f"```console\n$ kvmd-lab {command}\n...\nno such scenario\n```\n")
    with pytest.raises(AssertionError, match="no such scenario"):
        walk(lesson, os.environ)


def test_prompt_that_does_not_open_fails(tmp_path: Path) -> None:
    lesson = tmp_path / "lesson.md"
    lesson.write_text("```console\n$ kvmd-lab shell no-such-kernel\n```\n\n```pycon\n>>> 1 + 1\n2\n```\n")
    with pytest.raises(AssertionError, match="no-such-kernel"):
        walk(lesson, os.environ)
