"""The files of a matrix: what was asked for, and a line of JSON for each cell as it comes.

Whoever is killed in the middle of a line loses that cell and no other.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

import msgspec
from filelock import FileLock, Timeout

from lab import jsonlines
from lab.errors import UsageError
from lab.host_trouble import host_trouble
from lab.matrix.cells import Cell, cells
from lab.report.grid import GridCell, Outcome

PLAN, RESULTS = "plan.json", "results.jsonl"
# What a resumed matrix tries again: nothing is known about the kernel.
_UNKNOWN: tuple[Outcome, ...] = ("error", "impossible")


class MatrixPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for. `timeout` is the longest that a cell may take, in seconds; `samples`: its page has plots.

    `cc` is the compiler, None: the one that is set.
    """

    kernels: tuple[str, ...]
    scenarios: tuple[str, ...]
    cpus: tuple[int, ...] = ()
    ram_mib: tuple[int, ...] = ()
    swap_mib: tuple[int, ...] = ()
    seeds: tuple[int, ...] = (1,)
    timeout: float = msgspec.field(default=120.0, name="budget")  # as it is called in the files of older matrices
    samples: bool = False
    cc: str | None = None

    @property
    def build_options(self) -> list[str]:
        """The options of `build` and `run` that say how its kernels are built."""
        return [] if self.cc is None else [f"--cc={self.cc}"]

    def cells(self) -> list[Cell]:
        """Return all of its cells."""
        dimensions = {"cpus": self.cpus, "ram_mib": self.ram_mib, "swap_mib": self.swap_mib}
        return cells(self.kernels, self.scenarios, seeds=self.seeds, **dimensions)


class CellResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a cell; `run` is its run's folder, relative to the matrix's; empty: there is none."""

    cell: Cell
    outcome: Outcome
    seconds: float = 0.0
    reason: str = ""
    run: str = ""

    @property
    def known(self) -> bool:
        """Whether it says something about the kernel."""
        return self.outcome not in _UNKNOWN

    @property
    def shown(self) -> GridCell:
        """The cell for a page."""
        cell = {name: getattr(self.cell, name) for name in ("kernel", "scenario", "cpus", "ram_mib", "swap_mib")}
        return GridCell(**cell, outcome=self.outcome, seconds=self.seconds, reason=self.reason, run=self.run)


class ResultStore:
    """The files in a matrix's folder, open for more results; use it in `with`, or nobody else may write there."""

    def __init__(self, folder: Path, plan: MatrixPlan) -> None:
        """UsageError: somebody has it open."""
        self.folder = folder
        self.plan = plan
        self.results: dict[Cell, CellResult] = {}
        self._lock = FileLock(folder / ".lock", timeout=0)
        with host_trouble(f"locking {folder}"):
            try:
                self._lock.acquire()
            except Timeout as error:
                raise UsageError(f"{folder} is at work already", hint="wait for its end, or stop it") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    @classmethod
    def begin(cls, folder: Path, plan: MatrixPlan) -> Self:
        """Open a new one."""
        store = cls(folder, plan)
        with host_trouble(f"writing to {folder}"):
            (folder / PLAN).write_bytes(msgspec.json.format(msgspec.json.encode(plan)) + b"\n")
            (folder / RESULTS).touch()
        return store

    @classmethod
    def resume(cls, folder: Path, timeout: float | None = None) -> Self:
        """Open one that was begun before, with all of its results; from now on with another timeout, if given."""
        plan = read_plan(folder)
        store = cls(folder, plan if timeout is None else msgspec.structs.replace(plan, timeout=timeout))
        path = folder / RESULTS
        with host_trouble(f"reading {path}"):
            jsonlines.mend(path)
        store.results = {result.cell: result for result in read(folder)}
        return store

    def add(self, result: CellResult) -> None:
        """Write a result down; HostError: the host does not let us, a full disk for one."""
        with host_trouble(f"writing a result to {self.folder}"), (self.folder / RESULTS).open("ab", 0) as file:
            jsonlines.append(file, msgspec.json.encode(result))
        self.results[result.cell] = result

    def open_cells(self) -> list[Cell]:
        """Return the cells about which nothing is known yet, and those that had less time than there is now."""
        return [cell for cell in self.plan.cells() if self._is_open(self.results.get(cell))]

    def _is_open(self, result: CellResult | None) -> bool:
        if result is not None and result.outcome == "timeout":
            return result.seconds < self.plan.timeout
        return result is None or not result.known


def read_plan(folder: Path) -> MatrixPlan:
    """Return what was asked for; UsageError: the folder is no matrix's."""
    try:
        return msgspec.json.decode((folder / PLAN).read_bytes(), type=MatrixPlan)
    except (OSError, msgspec.MsgspecError) as error:
        raise UsageError(f"{folder} is no matrix's folder: {error}", hint="it has a plan.json") from error


def read(folder: Path) -> list[CellResult]:
    """Return the last result of each cell, in the order of the plan; a line that was cut off is left out."""
    path = folder / RESULTS
    found: dict[Cell, CellResult] = {}
    with host_trouble(f"reading {path}"):
        lines = list(jsonlines.lines(path)) if path.exists() else []
    for number, line in lines:
        try:
            result = msgspec.json.decode(line, type=CellResult)
        except msgspec.MsgspecError as error:
            raise UsageError(f"{path}:{number}: {error}", doing="reading a matrix's results") from error
        found[result.cell] = result
    return [found[cell] for cell in read_plan(folder).cells() if cell in found]
