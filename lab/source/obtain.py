"""A kernel's name or a user's path, turned into a pristine tree: the places where one can come from.

In this order: the path that the user gave, the user's folder of trees, the cache, the mirrors. A kernel that comes in
a package of the distribution is in no cache and on no mirror.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from lab.cache import Cache, file_digest
from lab.errors import SourceError, UsageError
from lab.journal import Journal
from lab.settings import Settings
from lab.source import catalogue, firstuse, packaged
from lab.source.catalogue import shape_of
from lab.source.contents import read_contents
from lab.source.memo import Memo
from lab.source.tarballs import Tarballs, has_tarball_name, stem
from lab.source.tree import Tree, called_by, check_known, check_pristine, check_version, check_whole, named, version_of
from lab.version import KernelVersion

Where = Literal["tree", "cache", "package", "download"]


class _Found(msgspec.Struct, frozen=True):
    """A folder that is said to hold the tree; `key` names it in the record of first use.

    `entry` is the folder in the cache into which it was unpacked, if it was; `called` the version that its place's name
    says, if that was what was asked for.
    """

    folder: Path
    origin: str
    key: str
    entry: Path | None = None
    called: str | None = None


class _Fetched(msgspec.Struct, frozen=True):
    """A release that was downloaded."""

    file: str
    sha256: str
    url: str


def obtain(
    name: str | None,
    *,
    tree: Path | None = None,
    called: str | None = None,
    sha256: str | None = None,
    accept_changed: bool = False,
    settings: Settings,
    journal: Journal,
) -> Tree:
    """Return the pristine tree of the kernel `name`, or, without a name, whatever kernel `tree` is.

    `tree` is a folder or a tarball; without it the tree is looked for in the settings' folder, the cache and on
    the mirrors. `called` is a name of the user's for it, such as 2.3.99-pre3-5 for a pre-patch whose Makefile says
    2.3.99-pre3. `sha256` pins the tarball. A tree that is of another version, not whole, not pristine, or
    changed since its first use (unless `accept_changed`) is a SourceError; DownloadError if no mirror has it.
    """
    places = _Places(settings, journal, _checked_pin(sha256))
    if tree is not None:
        found = places.at(tree.expanduser().resolve(), None if called else name)
    elif name is not None:
        found = places.trees(name) or places.packaged(name) or places.cached(name) or places.mirrors(name)
    else:
        raise UsageError("neither a kernel's name nor a tree was given", hint="kvmd-lab kernels, or --tree PATH")
    version = named(version_of(found.folder, found.origin), called or found.called, found.origin)
    check_version(version, name, found.origin)
    check_whole(found.folder, version, found.origin)
    memo = Memo(settings.cache)
    shape = shape_of(version)
    contents = read_contents(found.folder, memo, shape)
    check_pristine(version, contents.files, found.origin)
    firstuse.check(
        f"{found.key}, part {shape.digest()[:12]}" if shape is not None and shape.needed else found.key,
        contents,
        memo=memo,
        journal=journal,
        accept_changed=accept_changed,
        remedy=f"or remove {found.entry} to have it unpacked anew" if found.entry else "or put the old files back",
    )
    journal.record("note", text=f"source: {version} from {found.origin}, digest {contents.digest[:12]}")
    return Tree(found.folder, version, contents.digest, found.origin)


def locate(name: str, settings: Settings) -> Where:
    """Tell how `obtain` would get a kernel; SourceError for a name that is in no place and has no release path."""
    places = _Places(settings, Journal(), None)
    if next(places.candidates(name), None) is not None:
        return "tree"
    if places.packaged_file(name) is not None:
        return "package"
    if places.fetched(name) is not None:
        return "cache"
    places.spec(name)
    return "download"


def at_hand(settings: Settings) -> list[KernelVersion]:
    """Return the versions of the trees and tarballs in the user's folder; SourceError: it is no folder."""
    return [version for _, version in _Places(settings, Journal(), None).versions()]


def known(settings: Settings) -> list[str]:
    """Return the names of all kernels, in their order: those that the lab knows, and what the user has trees of."""
    names = [spec.name for spec in catalogue.kernels()] + [each.name for each in packaged.installed()]
    return sorted({*names, *(version.text for version in at_hand(settings))}, key=KernelVersion)


def version_at(path: Path, settings: Settings) -> KernelVersion | None:
    """Return what the Makefile of a tree or tarball states, None if there is none that can be read."""
    return _Places(settings, Journal(), None).version_at(path.expanduser().resolve())


def release_server_answers(settings: Settings, seconds: float) -> bool:
    """Tell whether any mirror answers a HEAD of its base with a success within `seconds`.

    The time holds for everything, also for a name server that is silent.
    """
    from lab.source.download import answers  # httpx takes a tenth of a second to import

    found = threading.Event()
    done = threading.Semaphore(0)

    def ask(mirror: str) -> None:
        if answers(mirror, seconds):
            found.set()
        done.release()

    end = time.monotonic() + seconds
    for mirror in settings.mirrors:
        threading.Thread(target=ask, args=(mirror,), daemon=True).start()
    for _ in settings.mirrors:
        if not done.acquire(timeout=max(0.0, end - time.monotonic())) or found.is_set():
            break
    return found.is_set()


def _checked_pin(sha256: str | None) -> str | None:
    if sha256 is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise UsageError(f"--sha256 {sha256!r} is not a SHA-256", hint="it has 64 hexadecimal digits: sha256sum FILE")
    return None if sha256 is None else sha256.lower()


class _Places:
    """Where a tree can come from; `pin` is the SHA-256 that a tarball must have."""

    def __init__(self, settings: Settings, journal: Journal, pin: str | None) -> None:
        self._settings = settings
        self._journal = journal
        self._pin = pin
        self._tarballs = Tarballs(settings.cache, journal)
        self._memo = Memo(settings.cache)
        self._downloads = settings.cache / "downloads"
        self._skipped: list[str] = []

    def at(self, path: Path, name: str | None) -> _Found:
        """A folder or tarball that somebody named."""
        if path.is_dir():
            if self._pin is not None:
                raise UsageError(f"--sha256 pins a tarball, but {path} is a folder", hint="leave --sha256 out")
            return _Found(path, str(path), str(path))
        if not path.is_file():
            raise SourceError(f"there is no {path}", hint="--tree takes a kernel tree's top folder, or its tarball")
        try:
            self._check_at_once(path, name)
            hashed = self._tarballs.sha256(path)
        except OSError as error:
            raise SourceError(f"{path} cannot be read: {error.strerror}") from error
        if self._pin not in (None, hashed):
            raise SourceError(
                f"the SHA-256 of {path} is {hashed}, not {self._pin}",
                hint="get the tarball again, or look where the pinned value is from",
            )
        return self._unpacked(path, hashed, str(path), str(path), name)

    def _check_at_once(self, tarball: Path, name: str | None) -> None:
        """Refuse a tarball of another version before all of it is read, by its Makefile."""
        try:
            version = KernelVersion(self._tarballs.version(tarball))
        except SourceError:
            return  # damaged: unpacking will tell why
        check_version(version, name, str(tarball))
        check_known(version, str(tarball))

    def _unpacked(self, tarball: Path, hashed: str, origin: str, key: str, name: str | None) -> _Found:
        folder = self._tarballs.unpack(tarball, hashed, origin, name)
        return _Found(folder, origin, key, entry=self._tarballs.entry(tarball, hashed))

    def trees(self, name: str) -> _Found | None:
        """The first tree of that version in the user's folder; with a pin only tarballs count.

        That there are several is told, and that one is called otherwise: a point release of a pre-patch has the
        Makefile of the release before it. No tarball that is called otherwise is looked into for that.
        """
        found: list[Path] = []
        for path in self._paths(name):
            if found and path.is_file() and name not in path.name:
                break
            if path not in found and self._answers(path, name):
                found.append(path)
        if not found:
            return None
        version = self.version_at(found[0])
        by_name = version is not None and not catalogue.answers_to(version, name)
        taken = f"{found[0].name} is taken for {name}"
        if len(found) > 1:
            others = ", ".join(path.name for path in found[1:])
            same = "their Makefiles say the same; --tree takes another"
            self._journal.record("note", text=f"{taken}, not {others}: {same}", told=True)
        elif not by_name and version is not None and called_by(stem(found[0]), version) is not None:
            self._journal.record("note", text=f"{taken}: so says its Makefile", told=True)
        here = self.at(found[0], None if by_name else name)
        return msgspec.structs.replace(here, called=name) if by_name else here

    def candidates(self, name: str) -> Iterator[Path]:
        """Give the folders and tarballs in the user's folder whose Makefile states the version `name`.

        And those that are called so, if that is a finer name of it; any other name only says where to look first.
        """
        yield from (path for path in self._paths(name) if self._answers(path, name))

    def versions(self) -> Iterator[tuple[Path, KernelVersion]]:
        """Give the folders and tarballs in the user's folder, with what their names say, or else their Makefiles."""
        for path in self._paths():
            version = self.version_at(path)
            if version is not None:
                yield path, called_by(stem(path), version) or version

    def _paths(self, name: str = "") -> list[Path]:
        """Return the user's folder and what is in it: first what is called so, and folders before files."""
        trees = self._settings.trees
        if trees is None:
            return []
        if not trees.is_dir():
            raise SourceError(f"KVMD_LAB_TREES is {trees}, which is not a folder", hint="correct or unset it")
        inside = sorted(trees.iterdir(), key=lambda path: (name not in path.name, not path.is_dir(), path.name))
        return [path.resolve() for path in (trees, *inside)]

    def _answers(self, path: Path, name: str) -> bool:
        version = self.version_at(path)
        if version is None:
            return False
        called = called_by(stem(path), version)
        return catalogue.answers_to(version, name) or (called is not None and called.text == name)

    def version_at(self, path: Path) -> KernelVersion | None:
        """What a folder's or tarball's Makefile states; None if it is neither, or damaged, which is noted."""
        try:
            if path.is_dir():
                wanted = self._pin is None and (path / "Makefile").is_file()
                return version_of(path, str(path)) if wanted else None
            return KernelVersion(self._tarballs.version(path)) if has_tarball_name(path) else None
        except (SourceError, OSError) as error:
            self._skipped.append(f"{path}: {getattr(error, 'what', error)}")
            self._journal.record("note", text=f"passed over {self._skipped[-1]}")
            return None

    def packaged_file(self, name: str) -> Path | None:
        """The tarball that a package brought of a series; None if the name is none, SourceError if there is none."""
        if name != packaged.CURRENT and not catalogue.is_series(name):
            return None
        found = packaged.of_series(name)
        if found is None:
            error = packaged.missing(name)
            raise SourceError(error.what, seen=self._skipped, hint=error.hint)
        return found.file

    def packaged(self, name: str) -> _Found | None:
        """What a package of the distribution brings; an update of it is another tree, not a changed one."""
        path = self.packaged_file(name)
        if path is None:
            return None
        return msgspec.structs.replace(self.at(path, name), key=f"{path} {self._tarballs.sha256(path)}")

    def cached(self, name: str) -> _Found | None:
        """A release that was downloaded before."""
        fetched = self.fetched(name)
        if fetched is None:
            return None
        tarball = self._downloads / fetched.file
        return self._unpacked(tarball, fetched.sha256, fetched.url, f"release {name}", name)

    def fetched(self, name: str) -> _Fetched | None:
        """What was downloaded under that name, if it is still there and fits the pin."""
        fetched = self._memo.recall("releases", name, _Fetched)
        if fetched is None or self._pin not in (None, fetched.sha256):
            return None
        tarball = self._downloads / fetched.file
        there = self._tarballs.entry(tarball, fetched.sha256) is not None or (
            tarball.is_file() and file_digest(tarball) == fetched.sha256
        )
        return fetched if there else None

    def spec(self, name: str) -> catalogue.KernelSpec:
        """The release of that name."""
        spec = catalogue.find(name)
        if spec is None:
            known = ", ".join(
                [each.name for each in catalogue.kernels()] + [each.name for each in packaged.installed()]
            )
            raise SourceError(
                f"no release of the name {name} is known, and no tree of it was found",
                seen=self._skipped,
                hint=f"one of {known}; or give a tree with --tree, or a folder of trees in KVMD_LAB_TREES",
            )
        return spec

    def mirrors(self, name: str) -> _Found:
        """A release that is downloaded now; two processes that want the same one do it once."""
        from lab.source.download import Download  # httpx takes a tenth of a second to import

        spec = self.spec(name)

        def check(path: Path, hashed: str) -> None:
            self._tarballs.unpack(path, hashed, f"what it sent as {path.name.removesuffix('.part')}", name)

        with Cache(self._settings.cache).lock("downloads", name):
            found = self.cached(name)
            if found is not None:
                return found
            mirrors = self._settings.mirrors
            download = Download(
                spec.files, mirrors, self._downloads, check=check, journal=self._journal, sha256=self._pin
            )
            tarball, url = download.fetch()
            hashed = self._tarballs.sha256(tarball)
            self._memo.keep("releases", name, _Fetched(tarball.name, hashed, url))
            return self._unpacked(tarball, hashed, url, f"release {name}", name)
