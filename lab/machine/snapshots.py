"""Snapshots of booted machines in the cache: found by what made them, and copied for each machine that starts."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from functools import cache
from pathlib import Path
from typing import BinaryIO

import msgspec

from lab.cache import digest
from lab.machine import options
from lab.machine.spec import MachineSpec, Parts
from lab.process import require

TAG = "ready"
KIND = "snapshots"
_FORMAT = "1"


class Provenance(msgspec.Struct, frozen=True):
    """What a snapshot was made from; kept beside it for people."""

    key: str
    accel: str
    command: str
    kernel: str
    root: str
    swap: str


@cache
def _digest_of(path: Path, size: int, _changed: int) -> str:
    """Return a digest over a file's data without its holes: a sparse swap disk has next to no data."""
    state = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        end = 0
        while (begin := _next_data(file, end)) is not None:
            end = os.lseek(file.fileno(), begin, os.SEEK_HOLE)
            file.seek(begin)
            state.update(begin.to_bytes(8, "little"))
            while begin < end:
                part = file.read(min(1 << 20, end - begin))
                state.update(part)
                begin += len(part)
    return state.hexdigest()


def _next_data(file: BinaryIO, place: int) -> int | None:
    try:
        return os.lseek(file.fileno(), place, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:  # nothing but a hole up to the end
            return None
        raise


def _contents(path: Path | None) -> str:
    """Return a file's digest; it is read again only when its size or time has changed."""
    if path is None:
        return ""
    status = path.stat()
    return _digest_of(path, status.st_size, status.st_mtime_ns)


def _qemu(binary: str) -> str:
    """Return what tells one QEMU from another without starting it: path, size and time of the program."""
    path = Path(shutil.which(binary) or require(binary, "qemu-system-x86")).resolve()
    status = path.stat()
    return f"{path} {status.st_size} {status.st_mtime_ns}"


def manifest(binary: str, spec: MachineSpec, parts: Parts, accel: str) -> Provenance:
    """Return the key of a machine's snapshot with what it is made of: contents of the files, QEMU, command line."""
    fixed = [*options.hardware(spec, accel), *options.lines(options.Wiring(qmp=0, console=0, agent=0, root=0, swap=0))]
    append = [option.value for option in options.boot(spec, parts) if option.flag == "-append"]
    words = " ".join([*options.command("", fixed), *append, f"swap={spec.swap_mib}"])
    kernel, root, swap = _contents(parts.kernel_image), _contents(parts.root), _contents(parts.swap)
    key = digest(_FORMAT, _qemu(binary), words, kernel, root, swap)[:32]
    return Provenance(key, accel, options.by_hand(binary, spec, parts, accel), kernel, root, swap)


def describe(entry: Path, made_of: Provenance) -> None:
    """Write the manifest into an entry."""
    (entry / "manifest.json").write_bytes(msgspec.json.format(msgspec.json.encode(made_of)) + os.linesep.encode())
