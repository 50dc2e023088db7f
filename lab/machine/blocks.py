"""What QEMU counts of each disk: the outside view that the guest's own figures are checked against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec


class DriveStats(msgspec.Struct, frozen=True):
    """Finished transfers of one disk: bytes and requests."""

    read_bytes: int = 0
    written_bytes: int = 0
    reads: int = 0
    writes: int = 0
    failed_reads: int = 0
    failed_writes: int = 0

    def __sub__(self, earlier: DriveStats) -> DriveStats:
        mine, other = msgspec.structs.astuple(self), msgspec.structs.astuple(earlier)
        return DriveStats(*(now - then for now, then in zip(mine, other, strict=True)))


class BlockStats(msgspec.Struct, frozen=True):
    """Both disks; a machine without a swap disk has zeros there."""

    root: DriveStats = DriveStats()
    swap: DriveStats = DriveStats()

    def __sub__(self, earlier: BlockStats) -> BlockStats:
        return BlockStats(self.root - earlier.root, self.swap - earlier.swap)


def read(answer: Sequence[dict[str, Any]]) -> BlockStats:
    """Turn the answer to query-blockstats into values."""
    found = {}
    for entry in answer:
        name = str(entry.get("qdev", "")).split("/")[-1]
        stats = entry["stats"]
        found[name] = DriveStats(
            read_bytes=stats["rd_bytes"],
            written_bytes=stats["wr_bytes"],
            reads=stats["rd_operations"],
            writes=stats["wr_operations"],
            failed_reads=stats["failed_rd_operations"],
            failed_writes=stats["failed_wr_operations"],
        )
    return BlockStats(found.get("root", DriveStats()), found.get("swap", DriveStats()))
