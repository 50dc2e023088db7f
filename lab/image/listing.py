"""images/root.toml, to the list of what is on the root disk."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from lab.errors import UsageError

_Major = Annotated[int, msgspec.Meta(ge=0, le=255)]
GuestPath = Annotated[str, msgspec.Meta(pattern=r"^(/[A-Za-z0-9._-]+)+$")]
Node = tuple[Literal["b", "c", "p"], _Major, _Major]


class Listing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Absolute guest paths: of folders, of programs (with their sources' names) and of device nodes and named pipes."""

    size_kib: Annotated[int, msgspec.Meta(ge=64, le=65536)]
    folders: tuple[GuestPath, ...]
    programs: dict[GuestPath, tuple[str, ...]]
    nodes: dict[GuestPath, Node]


def read(path: Path) -> Listing:
    """Return the listing in a TOML file; a file of another shape, or a path in no folder, is a UsageError."""
    try:
        listing = msgspec.toml.decode(path.read_bytes(), type=Listing)
    except msgspec.MsgspecError as error:
        raise UsageError(str(error), doing=f"reading {path}") from error
    for place in (*listing.folders, *listing.programs, *listing.nodes):
        folder = place.rpartition("/")[0]
        if folder and folder not in listing.folders:
            raise UsageError(f"{place} is in no folder", doing=f"reading {path}", hint=f'add "{folder}" to folders')
    return listing
