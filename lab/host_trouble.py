"""The host's own trouble with files, told as such."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from lab.errors import HostError

_HOST_TROUBLE = {
    errno.ENOSPC: ("the disk is full", "free some space, or set KVMD_LAB_CACHE to a folder on another disk"),
    errno.EDQUOT: ("the disk quota is used up", "free some space, or set KVMD_LAB_CACHE to a folder elsewhere"),
    errno.EFBIG: ("a file may not be larger", "allow larger files: ulimit -f"),
    errno.EROFS: ("the file system is read-only", "set KVMD_LAB_CACHE to a folder that can be written"),
    errno.ENOTDIR: ("a file is where a folder should be", "set KVMD_LAB_CACHE to a folder"),
    errno.EACCES: ("permission denied", "set KVMD_LAB_CACHE to a folder that can be written"),
}


@contextmanager
def host_trouble(doing: str) -> Iterator[None]:
    """Turn a full disk, a read-only file system and a missing right into a HostError that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno not in _HOST_TROUBLE:
            raise
        what, hint = _HOST_TROUBLE[error.errno]
        raise HostError(f"{what} ({error.filename or error})", doing=doing, hint=hint) from error
