"""One run of scenarios in a process of its own, so that several go on at once and none hangs for ever."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self
from xml.etree import ElementTree as ET

import msgspec

from lab.process import die_with_parent

NO_REPORT = "(the run)"  # the name under which a run without any test tells why
_GONE_SECONDS = 10.0


class Seen(msgspec.Struct, frozen=True):
    """What a trial reported: whether it came to its end by itself, failed tests with what they said, and errors."""

    ended: bool
    passed: tuple[str, ...]
    failed: dict[str, str]
    errors: dict[str, str]


class Trial:
    """A child that runs scenarios; use it in `with`, or it stays. `deadline` counts from now, in seconds."""

    def __init__(self, argv: Sequence[str], folder: Path, environment: Mapping[str, str], deadline: float) -> None:
        """`folder` is new; it gets the child's words and the runs' folders."""
        folder.mkdir(parents=True)
        self.folder = folder
        self.began = time.monotonic()
        self.end = self.began + deadline
        env = {**os.environ, **environment, "KVMD_LAB_RUNS": str(folder), "PYTEST_ADDOPTS": ""}
        with (folder / "words.log").open("wb") as words:
            self.child = subprocess.Popen(
                [sys.executable, "-m", "lab", *argv],
                stdin=subprocess.DEVNULL,
                stdout=words,
                stderr=subprocess.STDOUT,
                env=env,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - only prctl, and no threads hold locks it needs
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the child; it puts its machine away when it is asked to, and its machine dies with it when it is not."""
        if self.child.poll() is None:
            self.child.terminate()
            try:
                self.child.wait(_GONE_SECONDS)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()

    @property
    def over(self) -> bool:
        """Whether the child has ended, or should have."""
        return self.child.poll() is not None or time.monotonic() > self.end

    def wait(self, seconds: float) -> None:
        """Let time pass, at most until the child has ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.child.wait(seconds)

    @property
    def seconds(self) -> float:
        """How long it has been at work."""
        return time.monotonic() - self.began

    def seen(self) -> Seen:
        """Return what the scenarios reported."""
        ended = self.child.poll() is not None
        found = sorted(self.folder.glob("*/junit.xml"))
        cases = [case for path in found for case in ET.parse(path).iter("testcase")]
        passed = [_name(case) for case in cases if not len(case)]
        failed = {_name(case): _sentence(part) for case in cases for part in case.iter("failure")}
        errors = {_name(case): _sentence(part) for case in cases for part in case.iter("error")}
        if ended and not cases:
            errors[NO_REPORT] = self._last_words()
        return Seen(ended, tuple(passed), failed, errors)

    def _last_words(self) -> str:
        lines = (self.folder / "words.log").read_text(errors="replace").split("\n")
        return next((line for line in lines if line.startswith("kvmd-lab: ")), lines[-1])


def _name(case: ET.Element) -> str:
    """Return "scenario::test" of a test case, without its parameters."""
    module = case.get("classname", "").rpartition(".")[2].removeprefix("test_")
    return f"{module}::{case.get('name', '').partition('[')[0]}"


def _sentence(part: ET.Element) -> str:
    """Return the first line that says what was wrong."""
    text = part.get("message") or part.text or ""
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    return lines[0] if lines else ""
