"""The cells of a matrix: one scenario on one kernel in one machine, with one seed."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from urllib.parse import quote

import msgspec

from lab.cache import digest
from lab.errors import UsageError
from lab.machine.spec import spec_for
from lab.version import KernelVersion

_LONGEST = 120


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be tried. Sizes are in MiB."""

    kernel: str
    scenario: str
    cpus: int
    ram_mib: int
    swap_mib: int
    seed: int

    @property
    def name(self) -> str:
        """A name that no other cell has, fit for a folder."""
        scenario = quote(self.scenario, safe="")
        if len(scenario) > _LONGEST:
            scenario = f"{scenario[-_LONGEST:]}-{digest(self.scenario)[:12]}"
        return f"{self.kernel}-{scenario}-{self.cpus}cpu-{self.ram_mib}ram-{self.swap_mib}swap-seed{self.seed}"

    @property
    def variant(self) -> str:
        """The kernel that it takes: "up" or "smp"."""
        return "smp" if self.cpus > 1 else "up"

    @property
    def arguments(self) -> list[str]:
        """What `kvmd-lab run` is to be given for it."""
        return [
            self.scenario,
            f"--kernel={self.kernel}",
            f"--cpus={self.cpus}",
            f"--ram={self.ram_mib}",
            f"--swap={self.swap_mib}",
            f"--seed={self.seed}",
        ]


def cells(
    kernels: Sequence[str],
    scenarios: Sequence[str],
    *,
    cpus: Sequence[int] = (),
    ram_mib: Sequence[int] = (),
    swap_mib: Sequence[int] = (),
    seeds: Sequence[int] = (1,),
) -> list[Cell]:
    """Return all cells, kernel by kernel; a dimension that is not given is what suits the kernel.

    UsageError: a machine that cannot be, or the same thing twice.
    """
    found = []
    for kernel in kernels:
        own = spec_for(KernelVersion(kernel), {})
        dimensions = (cpus or (own.cpus,), ram_mib or (own.ram_mib,), swap_mib or (own.swap_mib,))
        for scenario, processors, ram, swap, seed in itertools.product(scenarios, *dimensions, seeds):
            spec_for(KernelVersion(kernel), {"cpus": processors, "ram_mib": ram, "swap_mib": swap})
            cell = Cell(kernel=kernel, scenario=scenario, cpus=processors, ram_mib=ram, swap_mib=swap, seed=seed)
            found.append(cell)
    if len(set(found)) < len(found):
        raise UsageError("a scenario, a seed or a size is asked for twice")
    return found
