"""Which kernels there are, and which of them cannot be had."""

from __future__ import annotations

from collections.abc import Iterable

from lab import source
from lab.errors import SourceError, UsageError
from lab.settings import Settings
from lab.version import KernelVersion

_SECONDS = 10.0
_TREE = "linux-"


def known(settings: Settings) -> list[str]:
    """Return the names of all kernels: those that the lab knows, and those in the user's folders linux-VERSION."""
    names = [spec.name for spec in source.kernels()] + [package.name for package in source.packages()]
    if settings.trees is not None and settings.trees.is_dir():
        names += [path.name.removeprefix(_TREE) for path in settings.trees.glob(f"{_TREE}*") if path.is_dir()]
    return sorted({name for name in names if _is_version(name)}, key=KernelVersion)


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


def _is_version(name: str) -> bool:
    try:
        KernelVersion(name)
    except UsageError:
        return False
    return True
