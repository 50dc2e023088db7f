"""A folder, judged: which kernel it is (its Makefile says so), whether it is whole, and whether it is pristine."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

import msgspec

from lab.errors import SourceError, UsageError
from lab.source.catalogue import TreeShape, answers_to, eras, shape_of, without_records
from lab.version import KernelVersion

MAKEFILE_LIMIT = 1 << 20
_ASSIGNMENT = re.compile(
    r"^(VERSION|PATCHLEVEL|SUBLEVEL|EXTRAVERSION)[ \t]*:?=[ \t]*([^#\r\n]*?)[ \t]*(?:#.*)?\r?$", re.MULTILINE
)
_FEW = 6


class Tree(msgspec.Struct, frozen=True):
    """A pristine source tree.

    `path` is its folder (never to be written to), `digest` a SHA-256 over its contents that does not depend on how it
    was packed, `origin` says for people where it came from: a path or an address.
    """

    path: Path
    version: KernelVersion
    digest: str
    origin: str


def version_in(makefile: str, origin: str) -> KernelVersion:
    """Return the version that the text of a top Makefile states; one that states none is a SourceError."""
    values: dict[str, str] = {}
    for match in _ASSIGNMENT.finditer(makefile):
        values.setdefault(match[1], match[2])
    if not (values.get("VERSION") and values.get("PATCHLEVEL")):
        raise SourceError(
            f"the Makefile of {origin} does not state a VERSION and a PATCHLEVEL",
            hint="give the top folder of a kernel tree, or a tarball of it",
        )
    number = ".".join(values[key] for key in ("VERSION", "PATCHLEVEL", "SUBLEVEL") if values.get(key))
    try:
        return KernelVersion(number + values.get("EXTRAVERSION", ""))
    except UsageError as error:
        raise SourceError(f"the Makefile of {origin} states a strange version: {error.what}") from error


def version_of(tree: Path, origin: str) -> KernelVersion:
    """Return the version of a tree from its Makefile; a folder without one is a SourceError."""
    try:
        with (tree / "Makefile").open("rb") as file:
            text = file.read(MAKEFILE_LIMIT).decode(errors="replace")
    except OSError as error:
        raise SourceError(
            f"{origin} is not a kernel tree: its Makefile cannot be read ({error.strerror})",
            hint="give the top folder of a kernel tree, or a tarball of it",
        ) from error
    return version_in(text, origin)


def called_by(name: str, version: KernelVersion) -> KernelVersion | None:
    """Return the version that the name of a folder or tarball says, if it is a finer one than the Makefile's."""
    try:
        called = KernelVersion(name)
    except UsageError:
        return None
    return called if called.text != version.text and called.text.startswith(f"{version.text}-") else None


def named(version: KernelVersion, called: str | None, origin: str) -> KernelVersion:
    """Return what a user calls a tree, or what it is; UsageError: that is no name of such a kernel."""
    if called is None:
        return version
    name = KernelVersion(called)
    if name.key[:3] != version.key[:3]:
        raise UsageError(
            f"{called} is no name for {origin}, which is {version} (so says its Makefile)",
            hint=f"--as {version}-SOMETHING",
        )
    return name


def check_version(version: KernelVersion, name: str | None, origin: str) -> None:
    """Refuse a tree of another version than the one that was asked for."""
    if name is not None and not answers_to(version, name):
        raise SourceError(
            f"{origin} is {version} (so says its Makefile), but {name} was asked for",
            hint=f"ask for {version}, or give a tree of {name}",
        )


def check_known(version: KernelVersion, origin: str) -> TreeShape:
    """Return the shape of a version's trees; refuse one of an unknown era."""
    shape = shape_of(version)
    if shape is None:
        raise SourceError(f"{origin} is {version}; the lab knows only kernels {eras()}", hint="kvmd-lab kernels")
    return shape


def check_whole(tree: Path, version: KernelVersion, origin: str) -> None:
    """Refuse a tree of an unknown era, and one where a file is missing, or empty, that every tree of its era has."""
    shape = check_known(version, origin)
    missing = [name for name in shape.must_have if not _has(tree / name)]
    if missing:
        raise SourceError(
            f"{origin} is {version}, but not whole: missing or empty: {_few(missing)}",
            hint=without_records(version)
            or "unpack it again, and look whether the disk was full or the tarball cut off",
        )


def check_pristine(version: KernelVersion, paths: Iterable[bytes], origin: str) -> None:
    """Refuse a tree in which somebody built, or which is a git repository; `paths` are all its paths, relative."""
    shape = shape_of(version)
    names = [os.fsdecode(path) for path in paths]
    if any(name.startswith(".git/") or name == ".git" for name in names):
        raise SourceError(
            f"{origin} is a git repository: it holds more than the tree, and changes whenever git runs",
            hint=f"git -C '{origin}' archive --prefix=linux/ -o linux-{version}.tar HEAD, and give that tarball",
        )
    found = sorted(name for name in names if shape is not None and shape.litter_pattern.match(name))
    if found:
        raise SourceError(
            f"{origin} is not pristine, somebody built in it: {_few(found)}",
            hint="run `make mrproper` in the tree (for a tarball: unpack it first, then give the folder)",
        )


def _has(path: Path) -> bool:
    try:
        return path.is_file() and path.stat().st_size > 0
    except OSError:
        return False


def _few(names: list[str]) -> str:
    rest = len(names) - _FEW
    return ", ".join(names[:_FEW]) + (f" and {rest} more" if rest > 0 else "")
