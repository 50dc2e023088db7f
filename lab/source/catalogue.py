"""`kernels.toml`, turned into values: which kernels have a name, where they are released, what a whole tree looks like.

Adding a kernel, or the shape of another era's trees, is a change of that file alone.
"""

from __future__ import annotations

import fnmatch
import re
from functools import cache, cached_property
from pathlib import Path

import msgspec

from lab.cache import digest
from lab.version import KernelVersion, VersionRange

_SERIES = re.compile(r"\d+\.\d+")
_FILE = Path(__file__).with_name("kernels.toml")


def _within_folder(pattern: str) -> str:
    """A shell pattern as an expression in which * stops at a slash."""
    return fnmatch.translate(pattern).replace(".*", "[^/]*").removesuffix("\\Z")


class KernelSpec(msgspec.Struct, frozen=True):
    """A kernel with a name: `files` are its release tarballs relative to a mirror's base, the preferred one first."""

    name: str
    files: tuple[str, ...]

    @property
    def version(self) -> KernelVersion:
        """The name as a version, which has an order."""
        return KernelVersion(self.name)


class TreeShape(msgspec.Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """What every whole tree of a range of versions has, and what no pristine one has (shell patterns).

    `needed` are folders (with all that is below them) and shell patterns for files (* does not cross a slash), `always`
    patterns for files' names: the part of the tree that counts. The rest is neither unpacked nor looked at. Without
    them the whole tree counts.
    """

    kernels: str
    must_have: tuple[str, ...]
    litter: tuple[str, ...]
    needed: tuple[str, ...] = ()
    always: tuple[str, ...] = ()

    def counts(self, path: str) -> bool:
        """Tell whether a file (its path relative to the tree) belongs to the part that counts."""
        return not self.needed or self.needed_pattern.match(path) is not None

    def digest(self) -> str:
        """Return what changes whenever another part of the tree counts; empty if that is the whole tree."""
        return digest("needed", *self.needed, "always", *self.always) if self.needed else ""

    @cached_property
    def needed_pattern(self) -> re.Pattern[str]:
        """One expression that matches a path that counts."""
        folders = [f"{re.escape(name)}.*" for name in self.needed if name.endswith("/")]
        files = [_within_folder(name) for name in self.needed if not name.endswith("/")]
        names = [f"(?:.*/)?{_within_folder(name)}" for name in self.always]
        return re.compile(f"(?:{'|'.join([*folders, *files, *names])})\\Z", re.DOTALL)

    @cached_property
    def litter_pattern(self) -> re.Pattern[str]:
        """One expression that matches a path relative to the tree if any of the patterns does."""
        return re.compile("|".join(fnmatch.translate(pattern) for pattern in self.litter))


class _Catalogue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    packings: tuple[str, ...]
    kernels: dict[str, str]
    series: str
    shape: tuple[TreeShape, ...]


@cache
def _catalogue() -> _Catalogue:
    return msgspec.toml.decode(_FILE.read_bytes(), type=_Catalogue)


@cache
def kernels() -> tuple[KernelSpec, ...]:
    """Return the kernels with a name, in the order in which they appeared."""
    data = _catalogue()
    specs = (
        KernelSpec(name, tuple(f"{stem}.{packing}" for packing in data.packings)) for name, stem in data.kernels.items()
    )
    return tuple(sorted(specs, key=lambda spec: spec.version))


def find(name: str) -> KernelSpec | None:
    """Return the kernel of that name, or None."""
    return next((spec for spec in kernels() if spec.name == name), None)


def without_records(version: KernelVersion) -> str:
    """Say which releases have records near one that is not among the kernels with a name; empty if it is, or of today.

    Its neighbours' records may still fit it: a point release between two of them is ported like these.
    """
    if is_of_today(version) or find(version.text) is not None:
        return ""
    before = [spec.name for spec in kernels() if spec.version <= version][-1:]
    after = [spec.name for spec in kernels() if spec.version > version][:1]
    return f"no records were written for {version}; the nearest releases that have some: {', '.join([*before, *after])}"


def is_of_today(version: KernelVersion) -> bool:
    """Tell whether a kernel is known by its series."""
    return version in VersionRange(_catalogue().series)


def is_series(name: str) -> bool:
    """Tell whether a name, such as 6.12, stands for a whole series of kernels of today."""
    return _SERIES.fullmatch(name) is not None and is_of_today(KernelVersion(name))


def answers_to(version: KernelVersion, name: str) -> bool:
    """Tell whether a tree is what somebody means by `name`.

    The spelling counts: a tree whose EXTRAVERSION somebody extended is not the release. The name of a series stands for
    all its versions.
    """
    return version.key[:2] == KernelVersion(name).key[:2] if is_series(name) else version.text == name


def shape_of(version: KernelVersion) -> TreeShape | None:
    """Return the shape of that version's trees, or None for an era that the lab does not know."""
    return next((shape for shape in _catalogue().shape if version in VersionRange(shape.kernels)), None)


def eras() -> str:
    """Return the ranges of versions whose shape is known, for messages."""
    return " or ".join(shape.kernels for shape in _catalogue().shape)
