"""Copy the part of a kernel tree that a build for i386 reads."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab.errors import SourceError
from lab.source.catalogue import TreeShape

KEPT_ARCHITECTURES = {"i386", "x86"}
KEPT_HEADERS = {"asm-i386", "asm-x86", "asm-generic"}
# Where `needed` leaves entries out, and the largest: each is copied by itself.
_APART = ("drivers", "arch", "include")
_PROGRAMS = 2
_TROUBLE = {number: os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)}
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


def copy_tree(source: Path, target: Path, shape: TreeShape | None = None) -> None:
    """Copy `source` to the new folder `target`: files by value with their modes, links as links, times not kept.

    What counts for the shape is copied, or if it says nothing of that, what `needed` tells. SourceError: a file of the
    source cannot be read. OSError: the target cannot be written.
    """
    try:
        _copy(source, target, shape)
    except PermissionError as error:
        said = f"{error.filename or ''} {error.strerror}".strip()
        if str(source) in said and str(target) not in said:
            raise SourceError(f"a file of the tree cannot be read ({said})", doing=f"copying {source}") from error
        raise


def _copy(source: Path, target: Path, shape: TreeShape | None) -> None:
    if shape is not None and shape.needed:
        with ThreadPoolExecutor(_THREADS) as pool:
            for _ in pool.map(lambda pair: shutil.copy(*pair), list(_lay_out(source, target, shape)), chunksize=64):
                pass
        return
    apart = [folder for folder in ("", *_APART) if (source / folder).is_dir()]
    for folder in apart:
        (target / folder).mkdir()
    with ThreadPoolExecutor(_PROGRAMS) as pool:
        for _ in pool.map(lambda folder: _copy_part(source, target, folder), apart):
            pass


def _copy_part(source: Path, target: Path, folder: str) -> None:
    """Copy what is needed of one folder, apart from the folders that are done by themselves."""
    done = _APART if folder == "" else ()
    taken = [path for path in (source / folder).iterdir() if path.name not in done and needed(folder, path.name)]
    _copy_whole(taken, target / folder)


def _copy_whole(paths: list[Path], target: Path) -> None:
    """Copy with a program of its own, which takes half the time of one file after the other in here."""
    if not paths:
        return
    argv = ["cp", "-R", "-P", "--preserve=mode", f"--target-directory={target}", "--", *map(str, paths)]
    done = subprocess.run(
        argv, capture_output=True, text=True, errors="replace", check=False, env=os.environ | {"LC_ALL": "C"}
    )
    if done.returncode != 0:
        last = done.stderr.strip().rpartition("\n")[2]
        number = next((number for number, text in _TROUBLE.items() if text in last), errno.EIO)
        raise OSError(number, last)


def _lay_out(source: Path, target: Path, shape: TreeShape) -> Iterator[tuple[str, str]]:
    """Make the folders and links below `target` that count; yield the pairs of files that are to be copied."""
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
