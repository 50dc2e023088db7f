"""Where the stages run that need a compiler or QEMU: here, or on another host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from lab import build, image
from lab.cache import Cache
from lab.journal import Journal
from lab.settings import Settings

if TYPE_CHECKING:
    from lab.machine.host import Host


class Backend(Protocol):
    """A place for the stages."""

    def kernel(self, plan: build.Plan, journal: Journal) -> build.Kernel:
        """Return the kernel that a plan describes; its files are here."""

    def image(self, journal: Journal, swap_mib: int) -> image.Image:
        """Return the guest's disks; they are here."""

    def host(self) -> Host | None:
        """Return the host that machines run on, None for this one."""

    def close(self) -> None:
        """Let go of it, when its machines are closed."""


class LocalBackend:
    """On this host."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def kernel(self, plan: build.Plan, journal: Journal) -> build.Kernel:
        """Build it here."""
        return build.build(plan, self._settings, journal)

    def image(self, journal: Journal, swap_mib: int) -> image.Image:
        """Make them here."""
        return image.build(self._settings, Cache(self._settings.cache), journal, swap_mib=swap_mib)

    def host(self) -> None:
        """Return None."""

    def close(self) -> None:
        """Do nothing."""


def backend(settings: Settings, journal: Journal) -> Backend:
    """Return the place that the settings name."""
    if settings.host is None:
        return LocalBackend(settings)
    from lab.remote.backend import RemoteBackend  # paramiko takes a while to import

    return RemoteBackend(settings, journal)
