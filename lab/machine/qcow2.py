"""qcow2 overlays, written and read by hand. Empty they are four clusters: no tool has to be started for each machine.

The overlay names no backing file: QEMU is told of it on the command line, so that a cached overlay stays valid when
the cache moves. Layout (QEMU's docs/interop/qcow2.txt, version 3): header, refcount table, refcount block, L1 table.
"""

from __future__ import annotations

import os
import struct
from typing import BinaryIO

CLUSTER_BITS = 16
CLUSTER = 1 << CLUSTER_BITS
_HEADER = struct.Struct(">4sIQIIQIIQQIIQQQQII")
_REFCOUNT_ORDER = 4  # 16 bits each
_HEADER_BYTES = 104
_PLACE = 0x00FFFFFFFFFFFE00
_ZEROES = 1


def write_overlay(file: BinaryIO, size: int) -> None:
    """Write an empty overlay for a disk of `size` bytes (at most 4 TiB) to an empty file."""
    entries = -(-size // (CLUSTER * (CLUSTER // 8)))
    if entries > CLUSTER // 8:
        raise ValueError(f"a disk of {size} bytes needs an L1 table of more than one cluster")
    header = _HEADER.pack(
        b"QFI\xfb",
        3,
        0,  # no backing file name
        0,
        CLUSTER_BITS,
        size,
        0,  # no encryption
        max(1, entries),
        3 * CLUSTER,  # L1 table
        1 * CLUSTER,  # refcount table
        1,
        0,  # no snapshots yet
        0,
        0,  # no incompatible, compatible, autoclear features
        0,
        0,
        _REFCOUNT_ORDER,
        _HEADER_BYTES,
    )
    refcounts = struct.pack(">4H", 1, 1, 1, 1)
    file.writelines(
        cluster.ljust(CLUSTER, b"\0") for cluster in (header, struct.pack(">Q", 2 * CLUSTER), refcounts, b"")
    )
    file.flush()


def read(file: BinaryIO, offset: int, size: int) -> bytes | None:
    """Return `size` bytes at `offset` of the disk, within one cluster; None where the overlay has nothing.

    QEMU must not be writing: what it holds of the tables is in the file once the guest is stopped.
    """
    header = _HEADER.unpack(os.pread(file.fileno(), _HEADER.size, 0))
    l1_table = header[8]
    entries = CLUSTER // 8
    number = offset // CLUSTER
    table = _entry(file, l1_table + 8 * (number // entries)) & _PLACE
    entry = _entry(file, table + 8 * (number % entries)) if table else 0
    if entry & _ZEROES:
        return bytes(size)
    cluster = entry & _PLACE
    return os.pread(file.fileno(), size, cluster + offset % CLUSTER) if cluster else None


def _entry(file: BinaryIO, place: int) -> int:
    return int.from_bytes(os.pread(file.fileno(), 8, place), "big")
