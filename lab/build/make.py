"""Run a ported tree's own make."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path

from lab import process
from lab.build.place import environment
from lab.build.toolchain import Toolchain
from lab.errors import CompileError, HostError
from lab.journal import Journal

_TELLING = ("error:", "Error:", "undefined reference", "multiple definition", "*** ")
# What the compiler says when not the tree is at fault but the host, and what to try.
_HOST_AT_FAULT = (
    ("No space left on device", "the disk is full", "free some space, or set KVMD_LAB_CACHE to another disk"),
    ("Disk quota exceeded", "the disk quota is used up", "free some space, or set KVMD_LAB_CACHE elsewhere"),
    ("Read-only file system", "the file system is read-only", "set KVMD_LAB_CACHE to a folder that can be written"),
    ("Cannot allocate memory", "the memory is used up", "set KVMD_LAB_JOBS=1"),
    ("Killed signal terminated program", "the compiler was killed", "free some memory, or set KVMD_LAB_JOBS=1"),
)
# What a tree of 2000 builds to run here calls functions that no header of its own declares: from gcc 14 on an error.
_HOST_DIALECT = "-std=gnu89"
_OPTIONS = "include/config/MARKER"  # made together with a header for each option of the configuration
_PACKS = re.compile(r"make\[\d+\]: Entering directory '.*/arch/i386/boot'")
_COMPILES = re.compile(r"  (CC|AS) +\S+\.o$")  # how the make of today tells what it does
# It writes who built the kernel, where and when, into it.
_SAME_FOR_ALL = ["KBUILD_BUILD_USER=kvmd", "KBUILD_BUILD_HOST=lab", "KBUILD_BUILD_TIMESTAMP=2000-04-04 12:00:00 UTC"]


def depend(tree: Path, toolchain: Toolchain, jobs: int, journal: Journal, log: Path) -> None:
    """Let the tree compute its dependencies, which it never does again by itself.

    A failure is a CompileError, and so are dependencies without any entry: then a changed header would be overlooked.

    Afterwards all headers are equally old. A tree of 2.3 touches each header that includes a newer one, in every
    folder's make by itself: when several work at once, a header is touched behind the back of what was just compiled.
    """
    argv = ["make", f"-j{jobs}", "ARCH=i386", f"HOSTCC={toolchain.cc} {_HOST_DIALECT}", _OPTIONS, "dep"]
    _run(argv, tree, journal, log)
    now = time.time()
    for path in (tree / "include").rglob("*"):
        os.utime(path, (now, now), follow_symlinks=False)
    if not (tree / ".depend").stat().st_size:
        raise CompileError(
            "make dep found no dependencies",
            doing="building the kernel",
            log=log,
            hint="look at what the tree's own dependency maker (scripts/mkdep) does on this host",
        )


def make(
    tree: Path,
    toolchain: Toolchain,
    jobs: int,
    journal: Journal,
    log: Path,
    expected: int | None = None,
    *,
    historic: bool = True,
    when_linked: Callable[[], object] = lambda: None,
) -> int:
    """Build bzImage in `tree` and return how many sources were compiled; a failure is a CompileError.

    Progress goes to the journal: sources compiled of `expected` (None when nobody knows). `when_linked` is called when
    vmlinux is there and what remains is to pack it, which a tree of 2.3 says by the folder that make goes to.
    """
    compiled = 0
    linked = False

    def watch(line: str) -> None:
        nonlocal compiled, linked
        if not linked and _PACKS.fullmatch(line):
            linked = True
            when_linked()
        if line.startswith(f"{toolchain.cc} ") and " -c " in line if historic else _COMPILES.match(line):
            compiled += 1
            journal.record("progress", name="compile", done=compiled, total=expected)

    of_era = [f"HOSTCC={toolchain.cc} {_HOST_DIALECT}", "AS=as --32"] if historic else [f"HOSTCC={toolchain.cc}"]
    words = [f"CC={toolchain.command}", *of_era, *([] if historic else _SAME_FOR_ALL)]
    _run(["make", f"-j{jobs}", "ARCH=i386", *words, "bzImage"], tree, journal, log, watch)
    return compiled


def _run(argv: list[str], tree: Path, journal: Journal, log: Path, watch: process.LineWatch | None = None) -> None:
    start = log.stat().st_size if log.exists() else 0
    if process.run(argv, cwd=tree, log=log, journal=journal, env=environment(tree), on_line=watch) == 0:
        return
    with log.open("rb") as file:
        file.seek(start)
        lines = file.read().decode(errors="replace").splitlines()
    for mark, what, hint in _HOST_AT_FAULT:
        seen = [line for line in lines if mark in line]
        if seen:
            raise HostError(what, doing="building the kernel", seen=seen[:3], log=log, hint=hint)
    raise CompileError(
        f"make {argv[-1]} failed",
        doing="building the kernel",
        seen=[line for line in lines if any(mark in line for mark in _TELLING)][:12],
        log=log,
        hint="the commands in the log can be repeated by hand",
    )
