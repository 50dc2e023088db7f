"""What the lab remembers between runs about trees and tarballs: small files in the cache that may be lost at any time.

A memo is only ever a short cut. One that cannot be read (cut off, of an older layout) counts as missing, and a cache
that cannot be written makes the next run slower, not wrong.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TypeVar

import msgspec

from lab.cache import digest

Value = TypeVar("Value")
Stamp = tuple[int, int, int, int]
"""Size, mtime_ns, ctime_ns and inode number of a file: while they stay, so do its contents (see `settled`)."""

_SECOND = 1_000_000_000
_FINE_TICK = 50_000_000
_COARSE_TICK = 2 * _SECOND


def stamp(status: os.stat_result) -> Stamp:
    """Return the stamp of a file."""
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def tick(stamps: list[Stamp]) -> int:
    """Return, in ns, how long two writes can share one timestamp on the file system that gave these stamps.

    Linux stamps with the time of its last clock tick (10 ms at most); a file system that has only whole seconds shows
    it in every ctime, and gets the two seconds of the coarsest one.
    """
    return _FINE_TICK if any(each[2] % _SECOND for each in stamps) else _COARSE_TICK


def settled(each: Stamp, seen_at: int, granularity: int) -> bool:
    """Tell whether a later write would certainly show in the stamp.

    A file that was written within the same tick in which it was read (`seen_at`, ns) can be written once more
    and keep its stamp; so its stamp proves nothing, then or later.
    """
    return max(each[1], each[2]) + granularity < seen_at


class Memo:
    """Values in CACHE/<kind>/, one file a key; any text or path can be a key."""

    def __init__(self, root: Path) -> None:
        """`root` is the cache's folder; it need not exist, nor be writable."""
        self.root = root

    def _file(self, kind: str, key: str) -> Path:
        return self.root / kind / f"{digest(os.fsencode(key))[:40]}.msgpack"

    def recall(self, kind: str, key: str, type_: type[Value]) -> Value | None:
        """Return what was kept under that key, or None."""
        try:
            return msgspec.msgpack.decode(self._file(kind, key).read_bytes(), type=type_)
        except (OSError, msgspec.DecodeError):
            return None

    def keep(self, kind: str, key: str, value: object) -> bool:
        """Keep a value, whole or not at all; tell whether the cache could be written."""
        file = self._file(kind, key)
        fresh = file.with_name(f".new-{file.name}-{os.getpid()}")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_bytes(msgspec.msgpack.encode(value))
            fresh.replace(file)
        except OSError:
            with contextlib.suppress(OSError):
                fresh.unlink(missing_ok=True)
            return False
        return True
