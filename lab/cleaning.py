"""Take the lab's own things out of its cache: known kinds, and in them known names; all else is somebody's, and stays.

The folder may be one that the user named and has other things in. Nothing goes while somebody uses the cache.
"""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec

from lab.cache import Cache
from lab.host_trouble import host_trouble

_KEY = r"[0-9a-f]{32,64}"
_ENTRIES = re.compile(rf"{_KEY}|\.(lock|new)-{_KEY}(-\d+)?")
_MEMOS = re.compile(rf"{_KEY}\.msgpack|\.new-{_KEY}\.msgpack-\d+")
_WORK = re.compile(rf"{_KEY}(\.log)?|\.lock-{_KEY}")
_TARBALLS = re.compile(r"linux-[0-9][^/]*\.tar\.(gz|bz2|xz)[^/]*|\.lock-[0-9][^/]*")

MADE_AGAIN = {
    "image": _ENTRIES,
    "kernels": _ENTRIES,
    "logs": re.compile(r"image\.log"),
    "remote": _ENTRIES,
    "remote-snapshots": _ENTRIES,
    "snapshots": _ENTRIES,
    "tarball-hash": _MEMOS,
    "tarball-version": _MEMOS,
    "tree-index-1": _MEMOS,
    "work": _WORK,
}
"""What can be made again from what is on this host, by the names of its entries."""
BROUGHT = {
    "downloads": _TARBALLS,
    "first-use": _MEMOS,
    "incoming": re.compile(r"[0-9a-f]{16}-[^/]+"),
    "labs": re.compile(rf"{_KEY}|\.new-{_KEY}-\d+"),
    "objects": _ENTRIES,
    "pip": re.compile(r"cache|http|http-v2|selfcheck|wheels"),
    "releases": _MEMOS,
    "sent-trees": _ENTRIES,
    "shipped": _ENTRIES,
    "source": _ENTRIES,
    "tmp": re.compile(r"kvmd-lab-.+"),
    "venvs": re.compile(_KEY),
}
"""What came from elsewhere (downloads, what others sent by --host), and what was first seen: only if all is to go."""


class Thing(msgspec.Struct, frozen=True):
    """A file or folder of the lab's in the cache, with what it takes of the disk, in bytes."""

    path: Path
    size: int


def things(root: Path, *, everything: bool) -> Iterator[Thing]:
    """Give what can go of the cache at `root`, in the order of the names; lock files as well."""
    kinds = MADE_AGAIN | BROUGHT if everything else MADE_AGAIN
    yield from (Thing(path, _size(path)) for path in sorted(root.glob("kvmd-lab-bench-*")))
    for kind, names in sorted(kinds.items()):
        folder = root / kind
        if folder.is_dir() and not folder.is_symlink():
            for path in sorted(folder.iterdir()):
                if names.fullmatch(path.name):
                    yield Thing(path, _size(path))


def remove(root: Path, *, everything: bool) -> list[Thing]:
    """Remove it, and the folders that are empty then; return what went.

    HostError: another process uses the cache; or the host does not let us.
    """
    with Cache(root).alone(), host_trouble(f"cleaning {root}"):
        found = list(things(root, everything=everything))
        for thing in found:
            if thing.path.is_dir() and not thing.path.is_symlink():
                shutil.rmtree(thing.path)
            else:
                thing.path.unlink()
        for kind in {thing.path.parent for thing in found} - {root}:
            with contextlib.suppress(OSError):  # something of somebody else's is there
                kind.rmdir()
    return found


def _size(path: Path) -> int:
    inside = path.rglob("*") if path.is_dir() and not path.is_symlink() else ()
    return sum(each.lstat().st_blocks * 512 for each in (path, *inside))
