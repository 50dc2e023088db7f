"""The porting ledger: records that name a place in a kernel tree and say what to do there, read from TOML.

A record has `id`, `kind` (see kernel-patches/README.md), `why` (the symptom, and from which compiler on), `kernels` (a
version range), `files` (glob patterns below the tree), `count` (places expected in all files together) and one act:

    match + replace     the place, and what stands there afterwards; "@" in `replace` is what stood there
    transform           a named function of lab.port.transforms, with `options`
    install             a file of this project (below `kvmd/` or `kernel-patches/`), put at the path in `files`
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from lab.cache import digest, folder_digest
from lab.errors import PortError
from lab.version import KernelVersion, VersionRange


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One adaptation. `look_in` says what `match` is compared with.

    "code": runs of C tokens, so white space and comments do not matter; "strings": the inside of string literals;
    "text": the bare text (Makefiles, assembler, configuration files). `within` narrows the search to one function or
    macro.
    """

    id: str
    kind: str
    why: str
    files: tuple[str, ...]
    count: int
    kernels: str = "all"
    match: str = ""
    replace: str | None = None
    look_in: Literal["code", "strings", "text"] = "code"
    within: str = ""
    transform: str = ""
    options: dict[str, str] = {}
    install: str = ""

    def holds_for(self, version: KernelVersion) -> bool:
        """Whether the record is meant for this kernel."""
        return version in VersionRange(self.kernels)


class Ledger(msgspec.Struct, frozen=True):
    """All records in the order in which they are applied, and a digest over them and over the files they install."""

    records: tuple[Record, ...]
    digest: str

    def of_kind(self, *kinds: str) -> tuple[Record, ...]:
        """Return the records of these kinds."""
        return tuple(record for record in self.records if record.kind in kinds)


class _Topic(msgspec.Struct, forbid_unknown_fields=True):
    record: tuple[Record, ...]


def load(folder: Path) -> Ledger:
    """Read every TOML file of a ledger folder, in the order of names.

    A file that is not a ledger topic, an id that stands twice and a record without exactly one act are PortErrors.
    """
    records: list[Record] = []
    for path in sorted(folder.glob("*.toml")):
        try:
            records += msgspec.toml.decode(path.read_bytes(), type=_Topic).record
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise PortError(f"{path.name}: {error}", doing="reading the porting ledger") from error
    seen: set[str] = set()
    for record in records:
        acts = (record.replace is not None) + bool(record.transform) + bool(record.install)
        if acts != 1:
            raise PortError(f"record {record.id} has {acts} acts instead of one", doing="reading the porting ledger")
        if record.id in seen:
            raise PortError(f"two records are called {record.id}", doing="reading the porting ledger")
        seen.add(record.id)
    return Ledger(tuple(records), digest(folder_digest(folder), folder_digest(folder.parent / "kvmd")))
