"""An empty qcow2 overlay, written by hand: four clusters, so that no tool has to be started for each machine.

The overlay names no backing file: QEMU is told of it on the command line, so that a cached overlay stays valid when
the cache moves. Layout (QEMU's docs/interop/qcow2.txt, version 3): header, refcount table, refcount block, L1 table.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

CLUSTER_BITS = 16
CLUSTER = 1 << CLUSTER_BITS
_HEADER = struct.Struct(">4sIQIIQIIQQIIQQQQII")
_REFCOUNT_ORDER = 4  # 16 bits each
_HEADER_BYTES = 104


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
