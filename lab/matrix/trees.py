"""Which kernels there are, and which of them cannot be had."""

from __future__ import annotations

from collections.abc import Iterable

from lab import source
from lab.errors import SourceError
from lab.settings import Settings
from lab.source import packaged
from lab.version import KernelVersion

_SECONDS = 10.0


def known(settings: Settings) -> list[str]:
    """Return the names of all kernels, in their order: those that the lab knows, and what the user has trees of."""
    names = [spec.name for spec in source.kernels()] + [each.name for each in packaged.installed()]
    return sorted({*names, *(version.text for version in source.at_hand(settings))}, key=KernelVersion)


def missing(kernels: Iterable[str], settings: Settings) -> dict[str, str]:
    """Return the kernels that cannot be had now, and why; the release servers are asked once, if at all."""
    found, away = {}, []
    for name in kernels:
        try:
            if source.locate(name, settings) == "download":
                away.append(name)
        except SourceError as error:
            found[name] = error.what
    if away and not source.release_server_answers(settings, _SECONDS):
        found |= dict.fromkeys(away, "no tree in KVMD_LAB_TREES, none downloaded before, and no release server answers")
    return found
