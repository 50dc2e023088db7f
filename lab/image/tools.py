"""The host's tools that make images: found, asked for their versions, and run into one log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from lab.errors import HostError
from lab.journal import Journal
from lab.process import require, run

_DOING = "making the guest's disks"
_TIMEOUT = 60.0  # seconds; each tool takes a fraction of one


class Tools(msgspec.Struct, frozen=True):
    """Paths of the tools; `version` is what all of them say of themselves."""

    cc: str
    mke2fs: str
    debugfs: str
    e2fsck: str
    log: Path
    journal: Journal
    version: str = ""

    def do(
        self,
        argv: Sequence[str | Path],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
    ) -> list[str]:
        """Run a tool and return its lines of output; an exit status other than 0 is a HostError."""
        lines: list[str] = []
        status = run(
            argv,
            cwd=cwd,
            log=self.log,
            journal=self.journal,
            env=env,
            stdin=stdin,
            on_line=lines.append,
            timeout=_TIMEOUT,
        )
        if status != 0:
            name = Path(argv[0]).name
            raise HostError(f"{name} ended with status {status}", doing=_DOING, log=self.log)
        return lines


def find(cc: str, log: Path, journal: Journal) -> Tools:
    """Return the tools with their versions; a missing one is a HostError that names Debian's package."""
    tools = Tools(
        cc=require(cc, "gcc" if "/" in cc else cc, _DOING),
        mke2fs=require("mke2fs", "e2fsprogs", _DOING),
        debugfs=require("debugfs", "e2fsprogs", _DOING),
        e2fsck=require("e2fsck", "e2fsprogs", _DOING),
        log=log,
        journal=journal,
    )
    lines = tools.do([tools.cc, "--version"]) + tools.do([tools.mke2fs, "-V"])
    return msgspec.structs.replace(tools, version="\n".join(lines))
