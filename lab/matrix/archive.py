"""A folder, packed for the way between the machines of a cluster, and unpacked where it is wanted.

The bytes follow from names and contents alone, so that the same folder is the same archive wherever it was packed.
"""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path, PurePosixPath

import msgspec

from lab.cache import digest
from lab.errors import InfraError
from lab.host_trouble import host_trouble

_LEVEL = 6


class Archive(msgspec.Struct, frozen=True):
    """A packed folder: a gzipped tarball, and the SHA-256 that it must have on arrival."""

    digest: str
    data: bytes


def sealed(data: bytes) -> Archive:
    """Return a tarball as a archive."""
    return Archive(digest(data), data)


def pack(folder: Path) -> Archive:
    """Pack the files below a folder; links stay behind."""
    packed = io.BytesIO()
    with (
        gzip.GzipFile("", "wb", _LEVEL, packed, mtime=0) as squeezed,
        tarfile.open(fileobj=squeezed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.is_symlink():
                data = path.read_bytes()
                entry = tarfile.TarInfo(str(path.relative_to(folder)))
                entry.size = len(data)
                tar.addfile(entry, io.BytesIO(data))
    return sealed(packed.getvalue())


def unpack(archive: Archive, folder: Path) -> None:
    """Write a archive's files below a folder; InfraError: it is damaged, or holds what no folder of ours holds."""
    check(archive)
    with (
        host_trouble(f"unpacking into {folder}"),
        tarfile.open(fileobj=io.BytesIO(archive.data), mode="r:gz") as tar,
    ):
        for entry in tar:
            name = PurePosixPath(entry.name)
            content = tar.extractfile(entry) if entry.isreg() else None
            if content is None or name.is_absolute() or ".." in name.parts:
                raise InfraError(f"{entry.name} cannot be from us", doing="unpacking what a worker sent")
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content.read())


def check(archive: Archive) -> None:
    """Raise an InfraError if a archive is not what was sent."""
    if digest(archive.data) != archive.digest:
        raise InfraError(f"a archive of {len(archive.data)} bytes arrived damaged", doing="checking its SHA-256")
