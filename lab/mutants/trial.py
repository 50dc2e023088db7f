"""One run of scenarios in a process of its own, so that several go on at once and none hangs for ever."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

import msgspec

from lab.child import Child

NO_REPORT = "(the run)"  # the name under which a run without any test tells why


class Seen(msgspec.Struct, frozen=True):
    """What a trial reported: whether it came to its end by itself, failed tests with what they said, and errors."""

    ended: bool
    passed: tuple[str, ...]
    failed: dict[str, str]
    errors: dict[str, str]


class Trial(Child):
    """A child that runs scenarios; use it in `with`, or it stays. `deadline` counts from now, in seconds."""

    def __init__(self, argv: Sequence[str], folder: Path, environment: Mapping[str, str], deadline: float) -> None:
        """`folder` is new; it gets the child's words and the runs' folders."""
        folder.mkdir(parents=True)
        self.folder = folder
        self.began = time.monotonic()
        self.deadline = self.began + deadline
        super().__init__(argv, folder / "words.log", {**environment, "KVMD_LAB_RUNS": str(folder)})

    @property
    def over(self) -> bool:
        """Whether the child has ended, or should have."""
        return self.ended or time.monotonic() > self.deadline

    @property
    def seconds(self) -> float:
        """How long it has been at work."""
        return time.monotonic() - self.began

    def seen(self) -> Seen:
        """Return what the scenarios reported."""
        ended = self.ended
        found = sorted(self.folder.glob("*/junit.xml"))
        cases = [case for path in found for case in ET.parse(path).iter("testcase")]
        passed = [_name(case) for case in cases if not len(case)]
        failed = {_name(case): _sentence(part) for case in cases for part in case.iter("failure")}
        errors = {_name(case): _sentence(part) for case in cases for part in case.iter("error")}
        if ended and not cases:
            errors[NO_REPORT] = self.complaint()
        return Seen(ended, tuple(passed), failed, errors)


def _name(case: ET.Element) -> str:
    """Return "scenario::test" of a test case, without its parameters."""
    module = case.get("classname", "").rpartition(".")[2].removeprefix("test_")
    return f"{module}::{case.get('name', '').partition('[')[0]}"


def _sentence(part: ET.Element) -> str:
    """Return the first line that says what was wrong."""
    text = part.get("message") or part.text or ""
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    return lines[0] if lines else ""
