"""Many runs, turned into one grid: kernels across, scenarios down.

A cell is what became of one scenario on one kernel in one machine, and where its run is. Whoever runs many of them
makes the cells; nothing else is needed for the page.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal
from urllib.parse import quote

import msgspec

from lab.errors import UsageError
from lab.version import KernelVersion

Outcome = Literal["passed", "failed", "error", "skipped", "impossible", "timeout"]
OUTCOMES: tuple[Outcome, ...] = ("failed", "error", "timeout", "passed", "skipped", "impossible")
MANY = 6  # cells in one place that are still shown one by one
MANY_NAMES = 20  # cells that are still named with their reason
_RANK: dict[str, int] = {outcome: rank for rank, outcome in enumerate(OUTCOMES)}
_WORDS = {"cpus": "{} CPU", "ram_mib": "{} MiB of RAM", "swap_mib": "{} MiB of swap"}


class GridCell(msgspec.Struct, frozen=True, kw_only=True):
    """One scenario on one kernel. `run` is its run's folder, relative to the page's; empty: there is none.

    "impossible": this kernel and this machine do not go together, as `reason` tells; nothing was tried.
    """

    kernel: str
    scenario: str
    cpus: int
    ram_mib: int
    swap_mib: int
    outcome: Outcome
    seconds: float = 0.0
    reason: str = ""
    run: str = ""

    @property
    def page(self) -> str:
        """The address of its run's page, relative to this one; empty: there is none."""
        return f"{quote(self.run.rstrip('/'))}/report.html" if self.run else ""

    @property
    def column(self) -> Column:
        """Where it stands."""
        return Column(self.kernel, self.cpus, self.ram_mib, self.swap_mib)


class Column(msgspec.Struct, frozen=True):
    """A kernel in a machine."""

    kernel: str
    cpus: int
    ram_mib: int
    swap_mib: int


class Grid(msgspec.Struct, frozen=True):
    """`rows` holds, for each scenario, the cells of each column; a scenario may have been tried there several times."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, tuple[tuple[GridCell, ...], ...]], ...]

    @property
    def cells(self) -> list[GridCell]:
        """All cells, row by row."""
        return [cell for _, columns in self.rows for cells in columns for cell in cells]

    @property
    def kernels(self) -> list[tuple[str, int]]:
        """Each kernel, and how many columns it has."""
        names = [column.kernel for column in self.columns]
        return [(name, names.count(name)) for name in dict.fromkeys(names)]

    @property
    def varying(self) -> list[str]:
        """The dimensions in which the machines differ."""
        return [name for name in _WORDS if len({getattr(column, name) for column in self.columns}) > 1]

    @property
    def common(self) -> str:
        """What all machines have."""
        return _machine(self.columns[0], [name for name in _WORDS if name not in self.varying]) if self.columns else ""

    def label(self, column: Column) -> str:
        """Name a column's machine by what not all have."""
        return _machine(column, self.varying)

    @property
    def reasons(self) -> list[tuple[str, str, list[GridCell]]]:
        """Each reason of each outcome, and the cells that have it; what is bad comes first."""
        found: dict[tuple[str, str], list[GridCell]] = {}
        for cell in self.cells:
            if cell.reason:
                found.setdefault((cell.outcome, cell.reason), []).append(cell)
        ordered = sorted(found.items(), key=lambda item: _RANK[item[0][0]])
        return [(outcome, reason, cells) for (outcome, reason), cells in ordered]

    @property
    def folded(self) -> bool:
        """Whether the page leaves out cells, since there are too many."""
        places = any(len(cells) > MANY for _, columns in self.rows for cells in columns)
        return places or any(len(cells) > MANY_NAMES for _, _, cells in self.reasons)

    @property
    def counts(self) -> list[tuple[str, int]]:
        """How often each outcome is there, without those that are not; what is bad comes first."""
        found = [cell.outcome for cell in self.cells]
        return [(outcome, found.count(outcome)) for outcome in OUTCOMES if outcome in found]

    @property
    def verdict(self) -> str:
        """The worst of all outcomes; "empty" if there is none."""
        return self.counts[0][0] if self.counts else "empty"


def grid(cells: Sequence[GridCell], title: str = "Kernels and scenarios") -> Grid:
    """Arrange cells: kernels in the order of their versions, a kernel's machines by size, scenarios as they come."""
    ordered = sorted(cells, key=lambda cell: (_version(cell.kernel), cell.cpus, cell.ram_mib, cell.swap_mib))
    columns = tuple(dict.fromkeys(cell.column for cell in ordered))
    placed: dict[tuple[str, Column], list[GridCell]] = {}
    for cell in cells:
        placed.setdefault((cell.scenario, cell.column), []).append(cell)
    rows = tuple(
        (name, tuple(tuple(placed.get((name, column), ())) for column in columns))
        for name in dict.fromkeys(cell.scenario for cell in cells)
    )
    return Grid(title, columns, rows)


def shown(cells: Sequence[GridCell]) -> list[tuple[GridCell, int]]:
    """Return what a place shows: each of its cells, or for each outcome the first that has a run, and their number.

    What is bad comes first then. A cell that stands for itself counts 0.
    """
    if len(cells) <= MANY:
        return [(cell, 0) for cell in cells]
    alike: dict[str, list[GridCell]] = {}
    for cell in cells:
        alike.setdefault(cell.outcome, []).append(cell)
    ordered = [alike[outcome] for outcome in OUTCOMES if outcome in alike]
    return [(next((cell for cell in those if cell.page), those[0]), len(those)) for those in ordered]


def _machine(column: Column, names: Sequence[str]) -> str:
    words = [_WORDS[name].format(getattr(column, name)) for name in names]
    return ", ".join(f"{word}s" if word.endswith("CPU") and column.cpus > 1 else word for word in words)


def _version(kernel: str) -> tuple[bool, tuple[int, ...], str]:
    """Kernels whose names are versions come first, in their order."""
    try:
        return False, KernelVersion(kernel).key, kernel
    except UsageError:
        return True, (), kernel
