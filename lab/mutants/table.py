"""The table of mutants, kvmd/mutants.toml: which defect each brings back, and the scenario that must fail on it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from lab.errors import UsageError
from lab.resources import folder
from lab.version import KernelVersion, VersionRange

_ALL = "all"


class Mutant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One defect that can be put back.

    `defects` are the numbers in the table of kvmd/README.md, or its words for what the machine adds; `scenario` is
    "scenario::test" of the suite. `kernels` and `cpus` (0: any number) say where the defect can show; `why` says
    why not elsewhere.
    """

    id: str
    defects: tuple[str, ...]
    does: str
    scenario: str
    kernels: str = _ALL
    cpus: int = 0
    why: str = ""

    def shows_on(self, version: KernelVersion, cpus: int) -> bool:
        """Whether the defect can show on this kernel with so many processors."""
        return version in VersionRange(self.kernels) and self.cpus in (0, cpus)


class _MutantTable(msgspec.Struct, forbid_unknown_fields=True):
    mutant: tuple[Mutant, ...]


def load(path: Path | None = None) -> tuple[Mutant, ...]:
    """Read the table (the project's own, if no other is named); a damaged one is a UsageError."""
    path = path or folder("kvmd") / "mutants.toml"
    try:
        table = msgspec.toml.decode(path.read_bytes(), type=_MutantTable).mutant
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UsageError(f"{path.name}: {error}", doing="reading the table of mutants") from error
    for mutant in table:
        narrowed = mutant.kernels != _ALL or mutant.cpus != 0
        if narrowed != bool(mutant.why):
            raise UsageError(f"{path.name}: {mutant.id} needs a reason where it is left out, and only there")
    return table


def select(table: Sequence[Mutant], wanted: Sequence[str]) -> tuple[Mutant, ...]:
    """Return the mutants of these ids, in the table's order; none means all. UsageError for an unknown one."""
    known = {mutant.id for mutant in table}
    for name in wanted:
        if name not in known:
            raise UsageError(f"there is no mutant {name!r}", hint=f"mutants: {', '.join(sorted(known))}")
    return tuple(mutant for mutant in table if not wanted or mutant.id in wanted)
