"""The porting ledger: records that name a place in a kernel tree and say what to do there, read from TOML.

A record has `id`, `kind` (see kernel-patches/README.md), `why` (the symptom, and from which compiler on), `kernels` (a
version range), `files` (glob patterns below the tree), `count` (places expected in all files together) and one act:

    match + replace     the place, and what stands there afterwards; "@" in `replace` is what stood there
    transform           a named function of lab.port.transforms, with `options`
    install             a file beside the ledger (its path from the folder that holds the ledger's), put at `files`

A topic's own `kernels`, above its records, holds for each of them, whatever it says itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from lab.cache import digest
from lab.errors import PortError, UsageError
from lab.version import KernelVersion, VersionRange

_ALL = "all"


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
    kernels: str = _ALL
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
    """All records in the order in which they are applied.

    `home` is the folder that they were read from; its `config` folder holds the configuration fragments. `digest` is
    over the records, the files that they install, and the code that applies them.
    """

    records: tuple[Record, ...]
    digest: str
    home: Path

    def meant_for(self, version: KernelVersion) -> Ledger:
        """Return the ledger without the records for other kernels, whose changes are none to this one."""
        kept = tuple(record for record in self.records if record.holds_for(version))
        return msgspec.structs.replace(self, records=kept, digest=_digest(kept, self))

    def source(self, record: Record) -> Path:
        """Return the file that a record installs."""
        return self.home.parent / record.install

    def of_kind(self, *kinds: str) -> tuple[Record, ...]:
        """Return the records of these kinds."""
        return tuple(record for record in self.records if record.kind in kinds)


class _Topic(msgspec.Struct, forbid_unknown_fields=True):
    record: tuple[Record, ...]
    kernels: str = _ALL

    def records(self) -> tuple[Record, ...]:
        """Return the records, each for the kernels that are in its own range and in the topic's."""
        return tuple(
            msgspec.structs.replace(record, kernels=_both(self.kernels, record.kernels)) for record in self.record
        )


def _both(*ranges: str) -> str:
    return ",".join(one for one in ranges if one != _ALL) or _ALL


def load(folder: Path) -> Ledger:
    """Read every TOML file of a ledger folder, in the order of names.

    A file that is not a ledger topic, a folder without records, an id that stands twice, a record without exactly one
    act and one whose act cannot be done are PortErrors.
    """
    records: list[Record] = []
    for path in sorted(folder.glob("*.toml")):
        try:
            records += msgspec.toml.decode(path.read_bytes(), type=_Topic).records()
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise _unreadable(f"{path.name}: {error}") from error
    if not records:
        raise _unreadable(f"there is no record in {folder}")
    seen: set[str] = set()
    for record in records:
        _check(record)
        if record.id in seen:
            raise _unreadable(f"two records are called {record.id}")
        seen.add(record.id)
    ledger = Ledger(tuple(records), "", folder)
    return msgspec.structs.replace(ledger, digest=_digest(ledger.records, ledger))


def _unreadable(what: str) -> PortError:
    return PortError(what, doing="reading the porting ledger")


def _check(record: Record) -> None:
    acts = (record.replace is not None) + bool(record.transform) + bool(record.install)
    if acts != 1:
        raise _unreadable(f"record {record.id} has {acts} acts instead of one")
    if record.replace is not None and not record.match.strip():
        raise _unreadable(f"record {record.id} replaces, but has nothing to match")
    try:
        VersionRange(record.kernels)
    except UsageError as error:
        raise _unreadable(f"record {record.id}: {error.what}") from error


def _digest(records: tuple[Record, ...], ledger: Ledger) -> str:
    code = (path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
    parts = [*code, *(msgspec.json.encode(record) for record in records)]
    parts.extend(read_installed(ledger, record) for record in records if record.install)
    return digest(*parts)


def read_installed(ledger: Ledger, record: Record) -> bytes:
    """Return the contents of the file that a record installs; a missing one is a PortError."""
    try:
        return ledger.source(record).read_bytes()
    except OSError as error:
        what = f"record {record.id} installs {record.install}, which cannot be read ({error.strerror})"
        raise _unreadable(what) from error
