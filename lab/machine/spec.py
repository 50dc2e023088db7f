"""What a machine is made of, as values."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any, Literal

import msgspec

from lab.errors import MachineError, UsageError
from lab.sizes import CPUS, DEFAULT_SWAP_MIB, RAM_MIB
from lab.version import KernelVersion, VersionRange

Accel = Literal["tcg", "kvm", "auto"]
Disks = Literal["hd", "sd"]


class MachineSpec(msgspec.Struct, frozen=True, kw_only=True):
    """The hardware, and the kernel's command line.

    `cpu` empty: pentium, and pentium3 for more than one CPU. `swap_mib` is the size of a blank second disk for callers
    that bring no swap image. `icount_shift`: an instruction takes 2**shift virtual nanoseconds; None runs on host time,
    and so do machines for which virtual time does not hold (accel.clock says which). `skip_idle`: an idle guest's clock
    jumps to its next timer, so that hours pass in seconds, but an idle guest is busy on the host. `append` comes behind
    the lab's own words of the kernel's command line. `disks` is what the kernel calls its disks: hd by an IDE driver of
    2000, sd by today's. `machine_type` is QEMU's name for it (empty: lab.machine.machine_type chooses one).
    """

    ram_mib: int = 16
    cpus: int = 1
    cpu: str = ""
    swap_mib: int = DEFAULT_SWAP_MIB
    accel: Accel = "tcg"
    icount_shift: int | None = 5
    skip_idle: bool = False
    append: str = ""
    disks: Disks = "hd"
    machine_type: str = ""

    def __post_init__(self) -> None:
        if self.ram_mib not in RAM_MIB:
            raise UsageError(
                f"a machine with {self.ram_mib} MiB of RAM", hint=f"from {RAM_MIB[0]} to {RAM_MIB[-1]} MiB"
            )
        if self.cpus not in CPUS:
            raise UsageError(f"a machine with {self.cpus} CPUs", hint=f"from {CPUS[0]} to {CPUS[-1]}")
        if self.swap_mib < 0:
            raise UsageError(f"a swap disk of {self.swap_mib} MiB")
        if self.icount_shift is not None and not 0 <= self.icount_shift <= 10:
            raise UsageError(f"an icount shift of {self.icount_shift}", hint="from 0 to 10, or None for host time")

    @property
    def cpu_model(self) -> str:
        """The CPU that QEMU is asked for."""
        return self.cpu or ("pentium" if self.cpus == 1 else "pentium3")

    @property
    def today(self) -> bool:
        """Whether it is made for a kernel of today; what that calls its disks tells."""
        return self.disks == "sd"

    @property
    def swap_device(self) -> str:
        """The second disk, by its path in the guest."""
        return f"/dev/{self.disks}b"


# What a kernel needs to boot, and to be put under pressure within seconds: today's takes 16 MiB for itself, most of it
# for lockdep's and kmemleak's records, and what it watches is worth more on two processors. With less virtual time an
# instruction the disk seems less slow, and the OOM killer comes less often to many clients at once.
_DEFAULTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("<2.5", {}),
    (">=6.1", {"ram_mib": 28, "cpus": 2, "disks": "sd", "icount_shift": 3}),
)


def spec_for(version: KernelVersion, given: Mapping[str, Any]) -> MachineSpec:
    """Return the machine for a kernel: what is `given`, and for the rest what suits its era."""
    for kernels, values in _DEFAULTS:
        if version in VersionRange(kernels):
            return msgspec.convert({**values, **given}, MachineSpec)
    return msgspec.convert(dict(given), MachineSpec)


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """Files that a machine boots from; none of them is ever written to. `root` and `swap` are raw images."""

    kernel_image: Path
    root: Path
    system_map: Path | None = None
    swap: Path | None = None


class MachineState(Enum):
    """Where a machine stands."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPED = "stopped"
    DEAD = "dead"
    CLOSED = "closed"


def demand(state: MachineState, *allowed: MachineState, doing: str) -> None:
    """Raise a MachineError that names both states, unless `state` is one of the `allowed`."""
    if state not in allowed:
        wanted = " or ".join(item.value for item in allowed)
        raise MachineError(f"the machine is {state.value}; this needs one that is {wanted}", doing=doing)
