"""Expressions that choose kernels by name or by version.

    2.3.99-pre*,>=2.4.0-test9           what matches any of the terms between commas
    >=2.4.0-test1&<2.4.0-test5          what matches all of the terms between ampersands
    2.3.99-pre*&!2.3.99-pre4            an exclamation mark turns one term around

A term is a name, a shell pattern for names, or a comparison with a version; "all" matches every kernel.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable

from lab.errors import UsageError
from lab.version import KernelVersion, VersionRange

_HINT = "such as '2.3.99-pre*,>=2.4.0-test9'; kvmd-lab kernels lists the names"
Matches = Callable[[str], bool]


def select(expression: str, names: Iterable[str]) -> list[str]:
    """Return those of `names` that the expression chooses, in the order of their versions.

    UsageError: an expression that is none, a name that is unknown, or nothing is chosen.
    """
    known = sorted(dict.fromkeys(names), key=KernelVersion)
    if not expression.strip():
        raise UsageError("an expression for kernels that is empty", hint=_HINT)
    unions = [[_term(term.strip(), known) for term in part.split("&")] for part in expression.split(",")]
    chosen = [name for name in known if any(all(matches(name) for matches in terms) for terms in unions)]
    if not chosen:
        raise UsageError(f"no kernel is {expression!r}", hint=_HINT)
    return chosen


def _term(term: str, known: list[str]) -> Matches:
    if term.startswith("!") and not term.startswith("!="):
        inner = _term(term[1:].strip(), known)
        return lambda name: not inner(name)
    if term == "all" or term[:1] in ("<", ">", "=", "!"):
        versions = VersionRange(term)
        return lambda name: KernelVersion(name) in versions
    if not any(sign in term for sign in "*?["):
        if term not in known:
            raise UsageError(f"there is no kernel {term!r}", hint=_HINT)
        return lambda name: name == term
    return lambda name: fnmatch.fnmatchcase(name, term)
