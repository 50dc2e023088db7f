"""A content-addressed store of folders: an entry is there whole or not at all, and two processes can share it.

CACHE/<kind>/<key>/...          a finished entry, never changed afterwards
CACHE/<kind>/.new-<key>-<pid>/  an entry being made; renamed when it is whole
CACHE/<kind>/.lock-<key>        held while an entry is made
CACHE/.in-use                   locked by every process that uses entries, with all others; by who cleans, alone
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from lab.errors import HostError
from lab.host_trouble import host_trouble

_IN_USE = ".in-use"


def digest(*parts: str | bytes) -> str:
    """Return a hexadecimal SHA-256 over the parts, each with its length, so that no two lists look alike."""
    state = hashlib.sha256()
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        state.update(len(raw).to_bytes(8, "little"))
        state.update(raw)
    return state.hexdigest()


def file_digest(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file's contents."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folder_digest(path: Path) -> str:
    """Return a SHA-256 over the names and contents of all files below a small folder."""
    files = sorted(item for item in path.rglob("*") if item.is_file() and "__pycache__" not in item.parts)
    return digest(*(part for item in files for part in (item.relative_to(path).as_posix(), item.read_bytes())))


class Cache:
    """The store below `root`."""

    def __init__(self, root: Path) -> None:
        """`root` is made on first use. As long as this object lives, nobody cleans what it has used."""
        self.root = root
        self._used = False

    def find(self, kind: str, key: str) -> Path | None:
        """Return a finished entry's folder, or None."""
        self._use()
        entry = self.root / kind / key
        return entry if entry.is_dir() else None

    def entry(self, kind: str, key: str, make: Callable[[Path], None]) -> Path:
        """Return an entry's folder, made by `make(folder)` if it is not there.

        An error in `make` leaves nothing behind. Another process that wants the same entry waits for this one.
        """
        found = self.find(kind, key)
        if found is not None:
            return found
        with self.lock(kind, key):
            found = self.find(kind, key)
            if found is not None:
                return found
            entry = self.root / kind / key
            fresh = self.root / kind / f".new-{key}-{os.getpid()}"
            with host_trouble(f"storing {kind} in {self.root}"):
                for left in fresh.parent.glob(f".new-{key}-*"):  # by somebody who was killed: the lock is ours
                    shutil.rmtree(left, ignore_errors=True)
                fresh.mkdir(parents=True)
                try:
                    make(fresh)
                    fresh.rename(entry)
                except BaseException:
                    shutil.rmtree(fresh, ignore_errors=True)
                    raise
            return entry

    @contextmanager
    def lock(self, kind: str, key: str) -> Iterator[None]:
        """Hold the lock of an entry; its file stays, since removing it would be a race, until `alone`."""
        with host_trouble(f"locking {kind} in {self.root}"):
            (self.root / kind).mkdir(parents=True, exist_ok=True)
            self._use()
            (self.root / kind).mkdir(exist_ok=True)  # who cleaned just before may have found it empty
            lock = FileLock(self.root / kind / f".lock-{key}")
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the whole of a cache that is there, so that nobody else uses it; HostError: somebody does."""
        with host_trouble(f"locking {self.root}"):
            number = self._open_lock()
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(number)
            raise HostError(f"{self.root} is in use", hint="wait for the end of the other kvmd-lab") from error
        try:
            yield
        finally:
            os.close(number)

    def _open_lock(self) -> int:
        return os.open(self.root / _IN_USE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)

    def share(self) -> None:
        """Keep others from cleaning from now on, also if there is no cache yet."""
        with contextlib.suppress(OSError):  # whoever needs it will tell
            self.root.mkdir(parents=True, exist_ok=True)
        self._use()

    def _use(self) -> None:
        """Share the cache's lock; where it cannot be written, nobody cleans either."""
        if not self._used and self.root.is_dir():
            with contextlib.suppress(OSError):
                number = self._open_lock()
                weakref.finalize(self, os.close, number)
                self._used = True
                fcntl.flock(number, fcntl.LOCK_SH)
