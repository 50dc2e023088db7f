"""Copy the part of a kernel tree that a build for i386 reads."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab.source.catalogue import Shape

KEPT_ARCHITECTURES = {"i386", "x86"}
KEPT_HEADERS = {"asm-i386", "asm-x86", "asm-generic"}
_THREADS = 4  # copying waits for the disk and for the kernel, not for Python


def needed(folder: str, name: str) -> bool:
    """Whether the entry `name` of `folder` (relative to the tree, "" for its top) belongs into the copy."""
    if folder == "":
        return name not in ("Documentation", ".git")
    if folder == "arch":
        return name in KEPT_ARCHITECTURES
    if folder == "include":
        return not name.startswith("asm-") or name in KEPT_HEADERS
    return True


def copy_tree(source: Path, target: Path, shape: Shape | None = None) -> None:
    """Copy `source` to the new folder `target`: files by value with their modes, links as links, times not kept.

    What counts for the shape is copied, or if it says nothing of that, what `needed` tells.
    """
    partial = shape if shape is not None and shape.needed else None
    pairs = _lay_out_part(source, target, partial) if partial else _lay_out(source, target, "")
    with ThreadPoolExecutor(_THREADS) as pool:
        for _ in pool.map(lambda pair: shutil.copy(*pair), list(pairs), chunksize=64):
            pass


def _lay_out_part(source: Path, target: Path, shape: Shape) -> Iterator[tuple[str, str]]:
    """As `_lay_out`, but a folder is made when something in it counts."""
    target.mkdir()
    for folder, folders, files in os.walk(source):
        below = os.path.relpath(folder, source)
        paths = [name if below == "." else f"{below}/{name}" for name in (*files, *folders)]
        for path in filter(shape.counts, paths):
            here, there = source / path, target / path
            if here.is_symlink():
                there.parent.mkdir(parents=True, exist_ok=True)
                there.symlink_to(here.readlink())
            elif here.is_file():
                there.parent.mkdir(parents=True, exist_ok=True)
                yield str(here), str(there)


def _lay_out(source: Path, target: Path, folder: str) -> Iterator[tuple[str, str]]:
    """Make the folders and links below `target`; yield the pairs of files that are to be copied."""
    target.mkdir()
    with os.scandir(source) as entries:
        for entry in entries:
            if not needed(folder, entry.name):
                continue
            if entry.is_symlink():
                (target / entry.name).symlink_to(Path(entry.path).readlink())
            elif entry.is_dir():
                below = f"{folder}/{entry.name}" if folder else entry.name
                yield from _lay_out(source / entry.name, target / entry.name, below)
            else:
                yield entry.path, str(target / entry.name)
