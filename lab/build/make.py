"""Run a ported tree's own make."""

from __future__ import annotations

from pathlib import Path

from lab import process
from lab.build.toolchain import Toolchain
from lab.errors import CompileError
from lab.journal import Journal


def make(tree: Path, toolchain: Toolchain, jobs: int, journal: Journal, log: Path, expected: int | None = None) -> int:
    """Build bzImage in `tree` and return how many sources were compiled; a failure is a CompileError.

    Progress goes to the journal: sources compiled of `expected` (None when nobody knows).
    """
    if not (tree / ".depend").exists():
        _run(["make", "ARCH=i386", "dep"], tree, journal, log)
    compiled = 0

    def watch(line: str) -> None:
        nonlocal compiled
        if line.startswith(f"{toolchain.cc} ") and " -c " in line:
            compiled += 1
            journal.record("progress", name="compile", done=compiled, total=expected)

    argv = ["make", f"-j{jobs}", "ARCH=i386", f"CC={toolchain.command}", "AS=as --32", "bzImage"]
    _run(argv, tree, journal, log, watch)
    return compiled


def _run(argv: list[str], tree: Path, journal: Journal, log: Path, watch: process.LineWatch | None = None) -> None:
    if process.run(argv, cwd=tree, log=log, journal=journal, on_line=watch) != 0:
        seen = [line for line in log.read_text(errors="replace").splitlines() if _tells(line)]
        raise CompileError(
            f"make {argv[-1]} failed",
            doing="building the kernel",
            seen=seen[:12],
            log=log,
            hint="the commands in the log can be repeated by hand",
        )


def _tells(line: str) -> bool:
    return any(mark in line for mark in ("error:", "Error:", "undefined reference", "*** "))
