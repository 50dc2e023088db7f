from __future__ import annotations

import re
from pathlib import Path

import pytest

from lab import errors
from lab.errors import InfraError, LabError, SubjectError, UsageError


def everything(kind: type[LabError] = LabError) -> list[type[LabError]]:
    """The tree of lab.errors; stages may have kinds of their own below it."""
    below = [child for child in kind.__subclasses__() if child.__module__ == "lab.errors"]
    return [kind, *(each for child in below for each in everything(child))]


def test_error_says_what_was_done_seen_and_what_to_try(tmp_path: Path) -> None:
    error = LabError(
        "it broke", doing="turning", seen=["crack", "bang"], log=tmp_path / "log", hint="turn the other way"
    )
    assert str(error).splitlines() == [
        "turning: it broke",
        "  | crack",
        "  | bang",
        f"  log: {tmp_path / 'log'}",
        "  try: turn the other way",
    ]


def test_error_of_one_sentence_is_that_sentence() -> None:
    assert str(LabError("it broke")) == "it broke"


def test_error_with_a_log_shows_its_last_lines(tmp_path: Path) -> None:
    log = tmp_path / "log é"
    log.write_bytes(b"".join(b"line %d \xff\n" % number for number in range(100)))
    assert LabError("it broke", log=log).seen == tuple(f"line {number} �" for number in range(85, 100))


def test_error_with_a_log_that_is_not_there_shows_nothing(tmp_path: Path) -> None:
    assert LabError("it broke", log=tmp_path / "nowhere").seen == ()


def test_each_error_is_of_one_of_the_three_ways() -> None:
    for kind in everything()[1:]:
        assert sum(issubclass(kind, way) for way in (UsageError, InfraError, SubjectError)) == 1, kind


@pytest.mark.parametrize("kind", everything()[1:])
def test_exit_code_is_the_one_of_the_documented_tree(kind: type[LabError]) -> None:
    documented: dict[str, int] = {}
    depth: list[tuple[int, int]] = [(-1, 1)]
    for line in (errors.__doc__ or "").splitlines():
        if match := re.match(r"( +[|` ]*-*-? ?)(\w+Error|GuestFault) +(\d+)?", line):
            indent = len(match[1])
            while depth[-1][0] >= indent:
                depth.pop()
            documented[match[2]] = int(match[3]) if match[3] else depth[-1][1]
            depth.append((indent, documented[match[2]]))
    assert documented[kind.__name__] == kind.exit_code
