"""What is to be tested, as a value: which kernel, and how it is built."""

from __future__ import annotations

from pathlib import Path

import msgspec


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be tested: a kernel by name (or whatever `tree` is), and how to build it.

    `called`: a name of the user's for the tree, in the place of what its Makefile says.
    `mutant`: with this known defect of kvmd put back. `checks`: a kernel of today watches itself. `built`: the
    folder of a kernel that was built before, in the cache or elsewhere; then no tree is needed.
    """

    name: str | None = None
    tree: Path | None = None
    called: str | None = None
    sha256: str | None = None
    accept_changed: bool = False
    cc: str | None = None
    fragments: tuple[Path, ...] = ()
    patches: tuple[Path, ...] = ()
    mutant: str | None = None
    checks: bool = True
    built: Path | None = None
