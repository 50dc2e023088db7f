"""A user's own unified diffs on top of the port, and the port itself as a series of such diffs."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

from lab import process
from lab.errors import PortError
from lab.host_trouble import host_trouble
from lab.journal import Journal
from lab.port.engine import STAMP, apply
from lab.port.ledger import Ledger, Record
from lab.port.workspace import ENCODING, Workspace
from lab.version import KernelVersion


def apply_patch(root: Path, patch: Path, journal: Journal) -> None:
    """Apply a unified diff (strip level 1) to the tree at `root`; one that does not fit whole is a PortError.

    The log lies beside the tree, and stays only when there is something to read in it.
    """
    if not patch.is_file():
        raise PortError(f"{patch} is not there", doing="applying your patches")
    git = process.require("git", "git")
    log = root.with_name(f"{root.name}.patch.log")
    log.unlink(missing_ok=True)
    # GIT_CEILING_DIRECTORIES: a tree below somebody's checkout is not part of that checkout.
    env = {"GIT_CEILING_DIRECTORIES": str(root.parent), "PATH": "/usr/bin:/bin", "HOME": "/nonexistent"}
    argv = [git, "apply", "--whitespace=nowarn", str(patch.absolute())]
    if process.run(argv, cwd=root, log=log, journal=journal, env=env) != 0:
        raise PortError(
            f"{patch} does not fit the ported tree",
            doing="applying your patches",
            log=log,
            hint="make the diff against the output of `kvmd-lab port --export`",
        )
    log.unlink()


def export(pristine: Path, version: KernelVersion, records: Ledger, target: Path) -> list[Path]:
    """Write what the port does to the user's tree as patches, one a record, and a `series` file; return their paths.

    They apply in the order of `series` with `patch -p1` or `git apply`, without the lab. `target` must not hold
    anything yet.
    """
    if target.exists() and any(target.iterdir()):
        raise PortError(f"{target} is not empty", doing="exporting the port", hint="name a new folder")
    if (pristine / STAMP).exists():
        raise PortError(f"{pristine} is ported already", doing="exporting the port", hint="give a pristine tree")
    before: dict[str, str] = {}
    series: list[tuple[Record, str]] = []

    def note(record: Record, workspace: Workspace) -> None:
        pieces = []
        for path in sorted(workspace.changed):
            old = before.get(path, workspace.changed[path])
            new = workspace.read(path)
            if old != new:
                pieces.append(_diff(path, old, new))
            before[path] = new
        if pieces:
            series.append((record, "".join(pieces)))

    apply(pristine, version, records, on_record=note, write=False)
    with host_trouble("exporting the port"):
        target.mkdir(parents=True, exist_ok=True)
        return list(_write(series, target))


def _diff(path: str, old: str | None, new: str) -> str:
    before = [] if old is None else _lines(old)
    source = "/dev/null" if old is None else f"a/{path}"
    head = f"diff --git a/{path} b/{path}\n" + ("new file mode 100644\n" if old is None else "")
    return head + "".join(
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
        for line in difflib.unified_diff(before, _lines(new), source, f"b/{path}")
    )


def _lines(text: str) -> list[str]:
    """Split at line feeds only: form feeds and the like are ordinary characters for patch."""
    *whole, rest = text.split("\n")
    return [f"{line}\n" for line in whole] + ([rest] if rest else [])


def _write(series: Iterable[tuple[Record, str]], target: Path) -> Iterable[Path]:
    names = []
    for number, (record, text) in enumerate(series, 1):
        path = target / f"{number:04d}-{record.id}.patch"
        head = f"Subject: {record.id} ({record.kind})\n\n{record.why}\n\n---\n"
        path.write_bytes(head.encode() + text.encode(ENCODING))
        names.append(path.name)
        yield path
    (target / "series").write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
