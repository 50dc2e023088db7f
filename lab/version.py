"""The order of kernel versions: 2.3.51 < 2.3.99-pre1 < ... < 2.4.0-test1 < ... < 2.4.0-prerelease < 2.4.0."""

from __future__ import annotations

import re
from functools import total_ordering

from lab.errors import UsageError

# An ending of somebody's own is none that looks like a kind: "-pre3x" is no final version with an odd ending.
_VERSION = re.compile(
    r"(?P<v>\d+)\.(?P<p>\d+)(?:\.(?P<s>\d+)(?!\d)|(?!\.))"
    r"(?:-(?P<kind>prerelease|(?:test|pre|rc)(?=\d))(?P<n>\d*)(?:-?pre(?P<pp>\d+))?)?"
    r"(?P<rest>(?!-(?:prerelease|(?:test|pre|rc)\d))(?:[-+~]|\.\d)\S*)?"
)
_FINAL = 9
_KINDS = {"test": 0, "pre": 1, "rc": 2, "prerelease": 3}


@total_ordering
class KernelVersion:
    """A kernel's version as its Makefile spells it, with the order in which the kernels appeared."""

    def __init__(self, text: str) -> None:
        """Read `text` such as "2.3.99-pre3"; anything else is a UsageError."""
        match = _VERSION.fullmatch(text)
        if match is None:
            raise UsageError(f"{text!r} is not a kernel version", hint="versions look like 2.3.99-pre3 or 2.4.0-test11")
        self.text = text
        kind = match["kind"]
        point = match["pp"]
        self.key: tuple[int, ...] = (
            int(match["v"]),
            int(match["p"]),
            int(match["s"] or 0),
            _FINAL if kind is None else _KINDS[kind],
            int(match["n"] or 0) if kind else 0,
            # 2.4.0-test10-pre3 appeared before 2.4.0-test10
            int(point) if point else _FINAL**4,
        )

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"KernelVersion({self.text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, KernelVersion) and self.key == other.key

    def __lt__(self, other: KernelVersion) -> bool:
        return self.key < other.key

    def __hash__(self) -> int:
        return hash(self.key)


class VersionRange:
    """A conjunction such as ">=2.3.99-pre1,<2.4.0"; the word "all" holds for every version.

    Operators: >= <= > < == !=, joined by commas.
    """

    _TERM = re.compile(r"\s*(>=|<=|==|!=|>|<)\s*(\S+)\s*")

    def __init__(self, text: str) -> None:
        """Read `text`; a term that is not an operator and a version is a UsageError."""
        self.text = text
        self._terms: list[tuple[str, KernelVersion]] = []
        if text.strip() == "all":
            return
        for term in text.split(","):
            match = self._TERM.fullmatch(term)
            if match is None:
                raise UsageError(f"{text!r} is not a version range", hint='ranges look like ">=2.3.99-pre1,<2.4.0"')
            self._terms.append((match[1], KernelVersion(match[2])))

    def __contains__(self, version: KernelVersion) -> bool:
        return all(self._holds(version, operator, bound) for operator, bound in self._terms)

    @staticmethod
    def _holds(version: KernelVersion, operator: str, bound: KernelVersion) -> bool:
        return {
            ">=": version >= bound,
            "<=": version <= bound,
            "==": version == bound,
            "!=": version != bound,
            ">": version > bound,
            "<": version < bound,
        }[operator]

    def __str__(self) -> str:
        return self.text
