"""A folder, turned into a digest over what is in it: paths, contents and link targets, however it was packed.

Order, times, owners, modes and empty folders do not count. Reading every file takes about a second, so an index in the
cache remembers each file's hash with its stamp; a repeat only lists the folder. See `memo.settled` for the files
whose stamp cannot be trusted yet.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

import msgspec

from lab.cache import digest
from lab.errors import SourceError
from lab.source.catalogue import TreeShape
from lab.source.memo import Memo, Stamp, settled, stamp, tick

_KIND = "tree-index-1"
_LAYOUT = "tree digest 1"
_PIECE = 1 << 20
_BATCH = 64

Index = dict[bytes, tuple[Stamp, bytes]]


class Contents(msgspec.Struct, frozen=True):
    """A tree's digest, and for each path (bytes, relative) `f` and the file's SHA-256, or `l` and the link's target."""

    digest: str
    files: dict[bytes, bytes]


def read_contents(tree: Path, memo: Memo, shape: TreeShape | None = None) -> Contents:
    """Return the contents of a folder; anything in it but files, folders and links that stay inside is a SourceError.

    `tree` is a resolved path. Files and links that do not count for the shape are left out.
    """
    began = time.time_ns()
    stamps, links = scan(tree)
    if shape is not None and shape.needed:
        stamps = {path: each for path, each in stamps.items() if shape.counts(os.fsdecode(path))}
        links = {path: to for path, to in links.items() if shape.counts(os.fsdecode(path))}
    known = memo.recall(_KIND, str(tree), Index) or {}
    hashes = {path: known[path][1] for path, each in stamps.items() if path in known and known[path][0] == each}
    missing = [path for path in stamps if path not in hashes]
    hashes.update(_hash_all(tree, missing))
    if missing or len(known) != len(stamps):
        granularity = tick(list(stamps.values()))
        memo.keep(
            _KIND,
            str(tree),
            {path: (each, hashes[path]) for path, each in stamps.items() if settled(each, began, granularity)},
        )
    files = {path: b"f" + value for path, value in hashes.items()} | {path: b"l" + to for path, to in links.items()}
    return Contents(digest(_LAYOUT, *chain.from_iterable(sorted(files.items()))), files)


def scan(tree: Path) -> tuple[dict[bytes, Stamp], dict[bytes, bytes]]:
    """List a folder: the stamp of each file and the target of each link, by path (bytes, relative)."""
    root = os.fsencode(tree)
    files: dict[bytes, Stamp] = {}
    links: dict[bytes, bytes] = {}
    folders = [b""]
    try:
        while folders:
            _scan_folder(root, folders.pop(), folders, files, links)
    except OSError as error:
        raise _unreadable(tree, error) from error
    for path in links:
        if not _inside(root, path):
            raise SourceError(
                f"{os.fsdecode(path)} is a link that leads out of {tree}: what it points to is not part of the tree",
                hint="replace it by the file or folder itself",
            )
    return files, links


def _scan_folder(
    root: bytes, folder: bytes, folders: list[bytes], files: dict[bytes, Stamp], links: dict[bytes, bytes]
) -> None:
    with os.scandir(os.path.join(root, folder)) as entries:  # noqa: PTH118 - bytes: names need not be text
        for entry in entries:
            path = folder + entry.name
            status = entry.stat(follow_symlinks=False)
            if stat.S_ISREG(status.st_mode):
                files[path] = stamp(status)
            elif stat.S_ISDIR(status.st_mode):
                folders.append(path + b"/")
            elif stat.S_ISLNK(status.st_mode):
                links[path] = os.readlink(entry.path)  # noqa: PTH115 - bytes
            else:
                what = f"{os.fsdecode(path)} is neither a file, a folder nor a link"
                raise SourceError(what, doing=f"reading {os.fsdecode(root)}", hint="give a tree without special files")


def _inside(root: bytes, path: bytes) -> bool:
    real = os.path.realpath(os.path.join(root, path))  # noqa: PTH118 - bytes
    return real == root or real.startswith(root.rstrip(b"/") + b"/")


def _hash_all(tree: Path, paths: list[bytes]) -> dict[bytes, bytes]:
    """Hash files in a few threads: hashlib and read give up the interpreter's lock."""
    root = os.fsencode(tree) + b"/"
    batches = [paths[start : start + _BATCH] for start in range(0, len(paths), _BATCH)]
    try:
        if len(batches) < 2:
            return {path: hash_file(root + path) for path in paths}
        with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
            results = pool.map(lambda batch: [(path, hash_file(root + path)) for path in batch], batches)
            return dict(chain.from_iterable(results))
    except OSError as error:
        raise _unreadable(tree, error) from error


def hash_file(path: bytes) -> bytes:
    """Return the SHA-256 of a file's contents."""
    state = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - bytes
        while piece := file.read(_PIECE):
            state.update(piece)
    return state.digest()


def _unreadable(tree: Path, error: OSError) -> SourceError:
    name = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else str(tree)
    return SourceError(
        f"{name}: {error.strerror or error}",
        doing=f"reading {tree}",
        hint="the tree must be readable, and stay as it is while the lab reads it",
    )


def differences(before: dict[bytes, bytes], after: dict[bytes, bytes], most: int = 8) -> list[str]:
    """Say in a few lines which paths changed, came or went."""
    lines = []
    for path in sorted(before.keys() | after.keys()):
        if before.get(path) != after.get(path):
            verb = "new" if path not in before else "gone" if path not in after else "changed"
            lines.append(f"{verb:8}{os.fsdecode(path)}")
    return lines if len(lines) <= most else [*lines[:most], f"and {len(lines) - most} more"]
