"""What the lab's surroundings say: folders, mirrors, the compiler. Read once from the environment, then passed on."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path

import msgspec
import platformdirs

from lab.errors import UsageError
from lab.process import CORES

DEFAULT_MIRRORS = ("https://cdn.kernel.org/pub/linux/kernel", "https://mirrors.edge.kernel.org/pub/linux/kernel")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Folders are absolute; `mirrors` are base addresses without a final slash; `jobs` is make's -j.

    `ledger` is the folder of another ledger than the project's own, with its fragments in `config/`. `patience` is how
    long to wait for the guest at most, in seconds of its own time, whatever a scenario's own deadlines are. `host` is
    another host that does what needs a compiler or QEMU, as ssh://user@box:port, and with `accept_new_host_key` its key
    may be new to us.
    """

    cache: Path
    runs: Path
    trees: Path | None = None
    ledger: Path | None = None
    mirrors: tuple[str, ...] = DEFAULT_MIRRORS
    cc: str = "gcc"
    qemu: str = "qemu-system-i386"
    jobs: int = 2
    patience: float = math.inf
    host: str | None = None
    accept_new_host_key: bool = False

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """Read KVMD_LAB_CACHE, _RUNS, _TREES, _LEDGER, _MIRRORS (comma or space separated), _CC, _QEMU and so on.

        Unset ones fall back to the user's cache folder (XDG), ./runs, the release servers and the host's tools.
        UsageError: one has no such value, or is of an older lab.
        """
        if environment.get("KVMD_LAB_TREE"):
            raise UsageError("KVMD_LAB_TREE is read no more", hint="--tree PATH, or KVMD_LAB_TREES=FOLDER")
        cache = environment.get("KVMD_LAB_CACHE") or platformdirs.user_cache_dir("kvmd-lab")
        trees = environment.get("KVMD_LAB_TREES")
        ledger = environment.get("KVMD_LAB_LEDGER")
        mirrors = environment.get("KVMD_LAB_MIRRORS", "").replace(",", " ").split()
        jobs = environment.get("KVMD_LAB_JOBS", "")
        if jobs and not (jobs.isdigit() and int(jobs) > 0):
            raise UsageError(f"KVMD_LAB_JOBS is {jobs!r}, which is not a positive number")
        patience = environment.get("KVMD_LAB_PATIENCE", "")
        if patience and not (patience.isdigit() and int(patience) > 0):
            raise UsageError(f"KVMD_LAB_PATIENCE is {patience!r}, which is not a positive number of seconds")
        return cls(
            cache=Path(cache).expanduser().absolute(),
            runs=Path(environment.get("KVMD_LAB_RUNS") or "runs").expanduser().absolute(),
            trees=Path(trees).expanduser().absolute() if trees else None,
            ledger=Path(ledger).expanduser().absolute() if ledger else None,
            mirrors=tuple(mirror.rstrip("/") for mirror in mirrors) or DEFAULT_MIRRORS,
            cc=environment.get("KVMD_LAB_CC") or "gcc",
            qemu=environment.get("KVMD_LAB_QEMU") or "qemu-system-i386",
            jobs=int(jobs) if jobs else len(CORES) + 1,
            patience=float(patience) if patience else math.inf,
            host=environment.get("KVMD_LAB_HOST") or None,
        )

    def at(self, host: str | None, *, accept_new_key: bool = False) -> Settings:
        """Return these settings with another host, if one is given."""
        accept = accept_new_key or self.accept_new_host_key
        return msgspec.structs.replace(self, host=host or self.host, accept_new_host_key=accept)
