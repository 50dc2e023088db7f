"""Where make works: in an environment that is the same for everybody, under a path that make can bear."""

from __future__ import annotations

import os
import re
import shlex
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.cache import digest
from lab.errors import HostError
from lab.host_trouble import host_trouble

# The old Makefiles use $(TOPDIR) without quotes in lists, targets, shell commands and the preprocessor's options.
_BEARABLE = re.compile(r"[\w/.+@-]+")
# Everything else that somebody may have set (MAKEFLAGS, CPATH, SUBDIRS, a language) would change what make does.
_KEPT = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH")


def environment(tree: Path) -> dict[str, str]:
    """Return what make gets as its environment in `tree`; the old Makefiles take TOPDIR from PWD."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return {**kept, "LC_ALL": "C", "PWD": str(tree)}


def check_bearable_today(tree: Path) -> None:
    """Raise a HostError for a path that the make of today's kernels refuses; it sees through links."""
    path = tree.resolve()
    if re.search(r"[\s:]", str(path)):
        raise HostError(
            f"the kernel's make takes no path with a space or a colon: {path}",
            doing="making a work tree",
            hint="set KVMD_LAB_CACHE to a folder without them",
        )


@contextmanager
def bearable(tree: Path, log: Path) -> Iterator[Path]:
    """Give a path to `tree` without spaces and the like: its own, or that of a link that is there meanwhile.

    The link's name depends on the tree alone, since dependency files hold it. HostError if no place can have it.
    """
    if _BEARABLE.fullmatch(str(tree)):
        yield tree
        return
    link = _link_folder(tree) / f"kvmd-lab-{os.geteuid()}-{digest(os.fsencode(tree))[:16]}"
    if link.is_symlink() and link.lstat().st_uid == os.geteuid():
        link.unlink()  # somebody was killed
    with host_trouble(f"making a link to {tree}"):
        try:
            link.symlink_to(tree)
        except FileExistsError as error:
            raise HostError(f"{link} is in the way", doing=f"making a link to {tree}", hint="remove it") from error
        with log.open("ab") as file:
            file.write(f"$ ln -s {shlex.quote(str(tree))} {link}\n".encode())
    try:
        yield link
    finally:
        link.unlink(missing_ok=True)


def _link_folder(tree: Path) -> Path:
    for folder in (tempfile.gettempdir(), "/tmp", "/var/tmp"):
        if _BEARABLE.fullmatch(folder) and os.access(folder, os.W_OK | os.X_OK):
            return Path(folder)
    raise HostError(
        f"the path {tree} holds characters that the old Makefiles cannot bear",
        doing="looking for another way to it",
        hint="set KVMD_LAB_CACHE to a folder without spaces in its path",
    )
