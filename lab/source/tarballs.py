"""A tarball's path, turned into its hash, its kernel's version, or its tree in the cache (under the tarball's hash)."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from lab.cache import Cache, digest, file_digest
from lab.errors import SourceError
from lab.journal import Journal
from lab.source import archive
from lab.source.catalogue import TreeShape, shape_of
from lab.source.contents import scan
from lab.source.memo import Memo, Stamp, settled, stamp, tick
from lab.source.tree import check_pristine, check_version, check_whole, version_in, version_of
from lab.version import KernelVersion

_NAME = re.compile(r"(.+?)\.(tar|tar\.gz|tgz|tar\.bz2|tbz2?|tar\.xz|txz)", re.IGNORECASE)
_REPORT = 0.1


class _Known(msgspec.Struct, frozen=True):
    stamp: Stamp
    value: str
    trouble: str = ""


def stem(path: Path) -> str:
    """Return the name of a tree's folder or tarball without what only says that it is one."""
    packed = _NAME.fullmatch(path.name)
    return (packed[1] if packed else path.name).removeprefix("linux-")


def has_tarball_name(path: Path) -> bool:
    """Tell whether a file is called like a tarball, so that looking into it is worth while."""
    return _NAME.fullmatch(path.name) is not None and path.is_file()


class Tarballs:
    """The store of unpacked tarballs, and what is known of the packed ones."""

    def __init__(self, root: Path, journal: Journal) -> None:
        """`root` is the cache's folder."""
        self._cache = Cache(root)
        self._memo = Memo(root)
        self._journal = journal

    def sha256(self, tarball: Path) -> str:
        """Return a tarball's hash, read anew only if its stamp changed."""
        return self._known("tarball-hash", tarball, lambda: (file_digest(tarball), "")).value

    def version(self, tarball: Path) -> str:
        """Return the version that the Makefile in a tarball states; SourceError if it has none or is damaged."""
        known = self._known("tarball-version", tarball, lambda: _look_for_version(tarball))
        if known.trouble:
            raise SourceError(known.trouble, doing=f"looking into {tarball}")
        return known.value

    def _known(self, kind: str, tarball: Path, look: Callable[[], tuple[str, str]]) -> _Known:
        each = stamp(tarball.stat())
        known = self._memo.recall(kind, str(tarball), _Known)
        if known is not None and known.stamp == each:
            return known
        began = time.time_ns()
        known = _Known(each, *look())
        if settled(each, began, tick([each])):
            self._memo.keep(kind, str(tarball), known)
        return known

    def entry(self, tarball: Path, hashed: str) -> Path | None:
        """Return the folder into which the tarball of that hash was unpacked, if it was."""
        whole = self._cache.find("source", hashed)
        return whole or self._cache.find("source", self._key(hashed, self._shape(tarball)))

    def _shape(self, tarball: Path) -> TreeShape | None:
        """The shape of the tree in a tarball if it says that only a part of it counts."""
        try:
            shape = shape_of(KernelVersion(self.version(tarball)))
        except (SourceError, OSError):
            return None  # unpacking will tell why
        return shape if shape is not None and shape.needed else None

    @staticmethod
    def _key(hashed: str, shape: TreeShape | None) -> str:
        return hashed if shape is None else digest(hashed, shape.digest())

    def unpack(self, tarball: Path, hashed: str, origin: str, name: str | None) -> Path:
        """Return the top folder of a tarball's tree; one that is not whole, pristine and of that name is not stored."""
        found = self.entry(tarball, hashed)
        if found is not None:
            return archive.top_of(found, tarball).resolve()
        shape = self._shape(tarball)
        counts = archive.everything if shape is None else shape.counts

        def make(folder: Path) -> None:
            top = archive.unpack(tarball, folder, progress=self._progress(tarball), counts=counts).resolve()
            version = version_of(top, origin)
            check_version(version, name, origin)
            check_whole(top, version, origin)
            files, links = scan(top)
            check_pristine(version, [*files, *links], origin)

        entry = self._cache.entry("source", self._key(hashed, shape), make)
        return archive.top_of(entry, tarball).resolve()

    def _progress(self, tarball: Path) -> Callable[[int, int], None]:
        last = 0.0
        name = f"unpack {tarball.name.removesuffix('.part')}"

        def report(done: int, total: int) -> None:
            nonlocal last
            now = time.monotonic()
            if now - last > _REPORT or done == total:
                last = now
                self._journal.record("progress", name=name, done=done, total=total)

        return report


def _look_for_version(tarball: Path) -> tuple[str, str]:
    try:
        text = archive.makefile_of(tarball)
        return ("", "it has no top Makefile") if text is None else (version_in(text, str(tarball)).text, "")
    except SourceError as error:
        return "", error.what
