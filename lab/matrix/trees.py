"""Which kernels of a matrix cannot be had, and why: asked before the first cell is begun."""

from __future__ import annotations

from collections.abc import Iterable

from lab import source
from lab.errors import SourceError
from lab.settings import Settings

_SECONDS = 10.0


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
