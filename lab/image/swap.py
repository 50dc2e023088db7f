"""A size, to a swap disk as `mkswap` version 1 makes it."""

from __future__ import annotations

import struct
from pathlib import Path

from lab.errors import UsageError
from lab.host_trouble import host_trouble
from lab.sizes import SWAP_MIB

PAGE_SIZE = 4096
_SIGNATURE = b"SWAPSPACE2"
_INFO = struct.Struct("<III")  # version, number of the last page, bad pages
_INFO_PLACE = 1024  # before it there is room for a boot sector
_VERSION = 1


def header(pages: int) -> bytes:
    """Return the first page of a swap area of `pages` pages, this one included; no page is bad."""
    page = bytearray(PAGE_SIZE)
    _INFO.pack_into(page, _INFO_PLACE, _VERSION, pages - 1, 0)
    page[-len(_SIGNATURE) :] = _SIGNATURE
    return bytes(page)


def swap_disk(path: Path, mebibytes: int) -> Path:
    """Write a sparse swap disk of 1..2047 MiB and return its path; other sizes are a UsageError."""
    if mebibytes not in SWAP_MIB:
        raise UsageError(f"a swap disk of {mebibytes} MiB can't be", hint=f"choose {SWAP_MIB[0]} to {SWAP_MIB[-1]} MiB")
    size = mebibytes << 20
    with host_trouble(f"making a swap disk of {mebibytes} MiB"), path.open("wb") as file:
        file.write(header(size // PAGE_SIZE))
        file.truncate(size)
    return path
