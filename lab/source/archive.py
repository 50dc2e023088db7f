"""A tarball, turned into a folder: members are checked one by one, and nothing is written outside the folder.

No link exists while files are written (links are made at the end), so no member can be written through one.
"""

from __future__ import annotations

import errno
import os
import posixpath
import shutil
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from lab.errors import SourceError
from lab.source.packed import BadPackingError, Limits, Unpacked
from lab.source.tree import MAKEFILE_LIMIT

_PIECE = 1 << 20
_BAD_NAME = {errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ}
_BAD_ARCHIVE = (BadPackingError, tarfile.TarError, ValueError, ArithmeticError, LookupError, RecursionError, EOFError)


def _silent(done: int, total: int) -> None:
    pass


def everything(path: str) -> bool:  # noqa: ARG001 - one of the functions that tell what counts
    """Tell that a file counts, whichever it is."""
    return True


def unpack(
    tarball: Path,
    folder: Path,
    *,
    limits: Limits | None = None,
    progress: Callable[[int, int], None] = _silent,
    counts: Callable[[str], bool] = everything,
) -> Path:
    """Unpack a .tar, .gz, .bz2 or .xz into an empty folder; return the tree's top folder in it.

    Of a tarball with one top folder only those files and links are written whose path below it `counts`; folders come
    with their files then.

    Owners, modes (but for the executable bit) and empty folders' times are not kept. A damaged or hostile tarball is a
    SourceError that names the member; the caller removes the folder.
    """
    limits = limits or Limits()
    with _opened(tarball, limits, progress) as (members, source):
        writer = _Writer(folder, source, limits, tarball)
        for member in members:
            if counts is everything or (not member.isdir() and counts(_below_top(member.name))):
                writer.add(member)
            else:
                source.seek(source.tell() + (member.size if member.isreg() else 0))
        writer.make_links()
    return top_of(folder, tarball)


def _below_top(name: str) -> str:
    """A member's path without its first folder."""
    return name.removeprefix("./").partition("/")[2]


def makefile_of(tarball: Path) -> str | None:
    """Return the text of a tarball's top Makefile, reading no further than that; None if it has none."""
    with _opened(tarball, Limits(), _silent) as (members, source):
        for member in members:
            parts = posixpath.normpath(member.name).split("/")
            if parts[-1] == "Makefile" and len(parts) <= 2 and member.isreg():
                return source.read(min(member.size, MAKEFILE_LIMIT)).decode(errors="replace")
            if member.isreg():
                source.seek(source.tell() + member.size)
    return None


@contextmanager
def _opened(
    tarball: Path, limits: Limits, progress: Callable[[int, int], None]
) -> Iterator[tuple[Iterator[tarfile.TarInfo], Unpacked]]:
    """Give a tarball's members, and where their data can be read; what goes wrong names the last member."""
    current = [""]
    with tarball.open("rb") as file:
        try:
            source = Unpacked(file, os.fstat(file.fileno()).st_size, limits, progress)
            yield _members(source, limits, current), source
        except _BAD_ARCHIVE as error:
            where = f"at {current[0]}" if current[0] else "at its start"
            raise _refused(tarball, f"{where}: {error}") from error


def _members(source: Unpacked, limits: Limits, current: list[str]) -> Iterator[tarfile.TarInfo]:
    source.allow = limits.header
    tar = tarfile.TarFile(fileobj=cast("IO[bytes]", source), mode="r")
    count = 0
    while (member := tar.next()) is not None:
        count += 1
        current[0] = member.name
        tar.members.clear()  # type: ignore[attr-defined]  # tarfile would keep them all
        if count > limits.members:
            raise BadPackingError(f"it has more than {limits.members} members: it may be a bomb")
        if not 0 <= member.size <= limits.one_file:
            raise BadPackingError(f"a member of {member.size} bytes: it may be a bomb")
        source.allow = limits.total
        yield member
        source.allow = source.tell() + limits.header
    if len(source.block) < tarfile.BLOCKSIZE:
        raise BadPackingError("it is cut off after this member")
    if any(source.block):
        raise BadPackingError("what follows this member is damaged")
    source.drain()


class _Writer:
    """Writes members below a folder, links last."""

    def __init__(self, folder: Path, source: Unpacked, limits: Limits, tarball: Path) -> None:
        self._root = folder
        self._source = source
        self._room = limits.total
        self._tarball = tarball
        self._now = time.time()
        self._folders: set[str] = {""}
        self._files: dict[str, int] = {}
        self._links: dict[str, str] = {}

    def add(self, member: tarfile.TarInfo) -> None:
        """Write one member, or keep a symbolic link for later; a member that has no place in a tree is refused."""
        name = self._safe(member.name)
        try:
            if member.isdir():
                self._make_folder(name)
            elif member.isreg() and not member.issparse():
                self._write(name, member)
            elif member.issym():
                self._keep_link(name, member.linkname)
            elif member.islnk():
                self._copy(name, member.linkname)
            else:
                raise _refused(self._tarball, f"{member.name} is neither a file, a folder nor a link")
        except OSError as error:
            if error.errno not in _BAD_NAME:
                raise
            raise _refused(self._tarball, f"{member.name} cannot be written: {error.strerror}") from error

    def _safe(self, name: str) -> str:
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if name.startswith("/") or ".." in parts:
            raise _refused(self._tarball, f"{name} leads out of the folder")
        return "/".join(parts)

    def _make_folder(self, name: str) -> None:
        missing = []
        while name not in self._folders:
            missing.append(name)
            name = posixpath.dirname(name)
        for each in reversed(missing):
            (self._root / each).mkdir()
            self._folders.add(each)

    def _write(self, name: str, member: tarfile.TarInfo) -> None:
        self._make_folder(posixpath.dirname(name))
        path = self._root / name
        mode = 0o755 if member.mode & 0o100 else 0o644
        left = member.size
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb", buffering=0) as file:
            while left:
                piece = self._source.read(min(left, _PIECE))
                if not piece:
                    raise BadPackingError("it is cut off within this member")
                left -= len(piece)
                _write_all(file.fileno(), piece)
            then = min(max(float(member.mtime), 0.0), self._now)
            os.utime(file.fileno(), (then, then))
        self._files[name] = member.size

    def _keep_link(self, name: str, target: str) -> None:
        landing = posixpath.normpath(posixpath.join(posixpath.dirname(name), target))
        if target.startswith("/") or landing == ".." or landing.startswith("../"):
            raise _refused(self._tarball, f"{name} is a link that leads out of the folder (to {target})")
        if name in self._links:
            raise FileExistsError(errno.EEXIST, "it comes twice")
        self._links[name] = target

    def _copy(self, name: str, target: str) -> None:
        """A hard link becomes a file of its own, so that a change of one never changes the other."""
        first = self._safe(target)
        if first not in self._files:
            raise _refused(self._tarball, f"{name} is a hard link to {target}, which is no file of it")
        self._room -= self._files[first]
        if self._room < 0:
            raise BadPackingError("its hard links add up to too much: it may be a bomb")
        self._make_folder(posixpath.dirname(name))
        with (self._root / name).open("xb"):
            pass
        shutil.copy2(self._root / first, self._root / name)
        self._files[name] = self._files[first]

    def make_links(self) -> None:
        """Make the symbolic links, then look where each of them really leads: links can lead through links."""
        try:
            for name, target in self._links.items():
                self._make_folder(posixpath.dirname(name))
                (self._root / name).symlink_to(target)
        except OSError as error:
            if error.errno not in _BAD_NAME:
                raise
            raise _refused(self._tarball, f"{name} cannot be made: {error.strerror}") from error
        root = os.path.realpath(self._root)
        for name, target in self._links.items():
            if not Path(os.path.realpath(self._root / name)).is_relative_to(root):
                raise _refused(self._tarball, f"{name} is a link that leads out of the folder (to {target})")


def _write_all(descriptor: int, piece: bytes) -> None:
    view = memoryview(piece)
    while view:
        view = view[os.write(descriptor, view) :]


def top_of(folder: Path, tarball: Path) -> Path:
    """Find the tree: the folder itself or the only folder in it."""
    if (folder / "Makefile").is_file():
        return folder
    inside = [item for item in folder.iterdir() if item.is_dir() and not item.is_symlink()]
    if len(inside) == 1:
        return inside[0]
    raise _refused(tarball, "it has neither a Makefile nor one top folder, so it is no kernel tree")


def _refused(tarball: Path, what: str) -> SourceError:
    return SourceError(what, doing=f"unpacking {tarball}", hint="get the tarball again, from a place that you trust")
