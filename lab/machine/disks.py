"""The private, unnamed files that one machine writes to: they vanish with the last process that holds them."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import BinaryIO, cast

from lab.host_trouble import host_trouble
from lab.machine import qcow2
from lab.machine.spec import MachineSpec, Parts


class Overlays:
    """The qcow2 overlays of root and swap (None without a swap disk)."""

    def __init__(self, root: BinaryIO, swap: BinaryIO | None) -> None:
        self.root = root
        self.swap = swap

    @classmethod
    def empty(cls, folder: Path, spec: MachineSpec, parts: Parts) -> Overlays:
        """Make fresh overlays in `folder`'s file system; HostError for a full or read-only disk."""
        swap_bytes = parts.swap.stat().st_size if parts.swap is not None else spec.swap_mib << 20
        with host_trouble(f"making overlays in {folder}"):
            root = _unnamed(folder)
            qcow2.write_overlay(root, parts.root.stat().st_size)
            if not swap_bytes:
                return cls(root, None)
            swap = _unnamed(folder)
            qcow2.write_overlay(swap, swap_bytes)
            return cls(root, swap)

    @classmethod
    def copied(cls, folder: Path, entry: Path) -> Overlays:
        """Copy the overlays that `save` left in `entry`."""
        with host_trouble(f"copying overlays to {folder}"):
            root = _copy(entry / "root.qcow2", folder)
            swap = entry / "swap.qcow2"
            return cls(root, _copy(swap, folder) if swap.exists() else None)

    @property
    def names(self) -> list[str]:
        """The block nodes that have an overlay."""
        return ["root"] if self.swap is None else ["root", "swap"]

    def save(self, entry: Path) -> None:
        """Write the overlays to named files; QEMU must have ended."""
        for name, file in (("root", self.root), ("swap", self.swap)):
            if file is not None:
                with (entry / f"{name}.qcow2").open("wb") as target:
                    _send(file, target)

    def close(self) -> None:
        """Let the files go."""
        self.root.close()
        if self.swap is not None:
            self.swap.close()


def _unnamed(folder: Path) -> BinaryIO:
    folder.mkdir(parents=True, exist_ok=True)
    return cast("BinaryIO", tempfile.TemporaryFile(dir=folder, buffering=0))


def _copy(source: Path, folder: Path) -> BinaryIO:
    target = _unnamed(folder)
    with source.open("rb") as file:
        _send(file, target)
    return target


def _send(source: BinaryIO, target: BinaryIO) -> None:
    """Copy a whole file without taking its bytes through this process."""
    size = os.fstat(source.fileno()).st_size
    place = 0
    while place < size:
        place += os.sendfile(target.fileno(), source.fileno(), place, size - place)
