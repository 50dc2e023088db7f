"""Which kernel to take when the user names none."""

from __future__ import annotations

import msgspec

from lab.settings import Settings
from lab.source import packaged
from lab.source.obtain import locate, release_server_answers

HISTORIC = "2.3.99-pre3"
SECONDS = 10.0


class Choice(msgspec.Struct, frozen=True):
    """A kernel's name, and one sentence that says why this one; `embedded`: it is the distribution's own."""

    name: str
    why: str
    embedded: bool = False


def choose(settings: Settings) -> Choice:
    """Take 2.3.99-pre3 where it can be had within ten seconds, otherwise the distribution's own kernel."""
    where = locate(HISTORIC, settings)
    if where == "tree":
        return Choice(HISTORIC, "its tree is in KVMD_LAB_TREES")
    if where == "cache":
        return Choice(HISTORIC, "it was downloaded before")
    if release_server_answers(settings, SECONDS):
        return Choice(HISTORIC, "a release server answers")
    why = f"no tree of {HISTORIC} (--tree, KVMD_LAB_TREES) and no release server within reach"
    return Choice(packaged.current(), why, embedded=True)
