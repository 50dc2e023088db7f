"""Where machines run: what a Machine asks of a host, and the answers of this one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import msgspec

from lab.cache import Cache
from lab.machine import accel, options, snapshots
from lab.machine.disks import Overlays
from lab.machine.machine_type import machine_type
from lab.machine.qemu import LocalQemu, Qemu
from lab.machine.spec import MachineSpec, Parts
from lab.settings import Settings


class Fit(msgspec.Struct, frozen=True):
    """A machine as the host can run it: the clock that holds there, the accelerator, and the reason for both."""

    spec: MachineSpec
    accel: str
    reason: str


class Host(Protocol):
    """A host with QEMU. The files of `parts` are this process's; how the host comes by them is its own affair."""

    def fit(self, wanted: MachineSpec) -> Fit:
        """Choose accelerator and clock; MachineError: the one that was asked for can't be had."""

    def by_hand(self, parts: Parts, fit: Fit) -> str:
        """Return a shell command that boots the same machine on a terminal of the host."""

    def snapshot(self, parts: Parts, fit: Fit, make: Callable[[], Qemu]) -> str:
        """Return the key of the machine's snapshot; if there is none yet, `make` returns an ended QEMU that took it."""

    def start(self, parts: Parts, fit: Fit, snapshot: str = "") -> Qemu:
        """Start QEMU with fresh disks, or with copies of those that a snapshot left. HostError: it can't be."""


class LocalHost:
    """The host that this process runs on."""

    def __init__(self, settings: Settings, cache: Cache) -> None:
        """Snapshots are in `cache`, the private disks of machines in the settings' one."""
        self._settings = settings
        self._cache = cache

    def fit(self, wanted: MachineSpec) -> Fit:
        """Choose accelerator and clock."""
        kind, why = accel.choose(wanted, self._settings.qemu)
        shift, why_clock = accel.clock(wanted, kind)
        chosen = wanted.machine_type or machine_type(self._settings.qemu)
        return Fit(
            msgspec.structs.replace(wanted, icount_shift=shift, machine_type=chosen), kind, f"{why}; {why_clock}"
        )

    def by_hand(self, parts: Parts, fit: Fit) -> str:
        """Return a shell command."""
        return options.by_hand(self._settings.qemu, fit.spec, parts, fit.accel)

    def manifest(self, parts: Parts, fit: Fit) -> snapshots.Provenance:
        """Return what a machine's snapshot is made of, and its key."""
        return snapshots.manifest(self._settings.qemu, fit.spec, parts, fit.accel)

    def snapshot(self, parts: Parts, fit: Fit, make: Callable[[], Qemu]) -> str:
        """Return the key of an entry in the cache."""
        made_of = self.manifest(parts, fit)

        def fill(entry: Path) -> None:
            make().save(made_of, entry)

        return self._cache.entry(snapshots.KIND, made_of.key, fill).name

    def start(self, parts: Parts, fit: Fit, snapshot: str = "") -> LocalQemu:
        """Start QEMU as a child."""
        folder = self._settings.cache
        if snapshot:
            overlays = Overlays.copied(folder, self._cache.root / snapshots.KIND / snapshot)
        else:
            overlays = Overlays.empty(folder, fit.spec, parts)
        load = snapshots.TAG if snapshot else ""
        return LocalQemu(self._settings.qemu, fit.spec, parts, fit.accel, overlays, load)
