"""Sources that packages of the distribution bring: linux-source-6.1 in Debian 12, linux-source-6.12 in Debian 13.

Which of them a distribution has, the package `linux-source` knows: it brings no file itself, but depends on that one.
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from lab.errors import SourceError
from lab.source.catalogue import is_series
from lab.version import KernelVersion

FOLDER = Path("/usr/src")  # where they are put
CURRENT = "linux-source"
_NAME = re.compile(r"linux-source-(\d+\.\d+)(?:\.\d+)?\.tar\.(?:xz|bz2|gz)")


class Packaged(msgspec.Struct, frozen=True):
    """A tarball that a package brought, and the name that stands for it: a series of kernels, such as 6.12."""

    name: str
    file: Path


def installed() -> list[Packaged]:
    """Return the sources that are installed and that the lab can build, the newest first."""
    found = [
        (match[1], path) for path in sorted(FOLDER.glob("linux-source-*")) if (match := _NAME.fullmatch(path.name))
    ]
    usable = [Packaged(name, path) for name, path in found if is_series(name) and path.is_file()]
    return sorted(usable, key=lambda each: KernelVersion(each.name), reverse=True)


def of_series(name: str) -> Packaged | None:
    """Return the source of that series, if its package is installed."""
    return next((each for each in installed() if each.name == name), None)


def current() -> str:
    """Return the name of the newest that is installed; if there is none, that of the package which brings it."""
    return next((each.name for each in installed()), CURRENT)


def package_of(name: str) -> str:
    """Return the package that brings a series, or, for its own name, the distribution's own kernel."""
    return CURRENT if name == CURRENT else f"{CURRENT}-{name}"


def missing(name: str) -> SourceError:
    """Return the error for a series, or for the distribution's own kernel, that no installed package brought."""
    have = ", ".join(each.name for each in installed())
    beside = f"; what is there is {have}" if have else ""
    package = package_of(name)
    what = "source of the distribution's own kernel" if name == CURRENT else f"source of {name}"
    other = "a kernel" if name == CURRENT else f"any {name}"
    install = f"apt-get install {package}, if this distribution has it"
    return SourceError(
        f"no {what} is in {FOLDER}{beside}",
        hint=f"{install}; or give {other} with --tree, or in KVMD_LAB_TREES",
    )
