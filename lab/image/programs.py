"""The guest's C sources, to static i386 programs that need no C library."""

from __future__ import annotations

from pathlib import Path

from lab.errors import HostError
from lab.image.tools import Tools
from lab.tools import compilers

FLAGS = (
    "-m32",
    "-march=i586",  # Debian's -m32 means i686; the guest's CPU is a Pentium
    "-std=gnu11",
    "-O2",
    "-Wall",
    "-Wextra",
    "-ffreestanding",
    "-fno-tree-loop-distribute-patterns",  # no memcpy made of the loop in memcpy
    "-fno-strict-aliasing",
    "-fno-pie",
    "-fno-stack-protector",  # there is no C library that would set it up
    "-fcf-protection=none",
    "-fno-asynchronous-unwind-tables",
    "-nostdlib",  # not even libgcc, whose 32-bit half is a package of its own
    "-static",
    "-no-pie",
    "-Wl,--build-id=none",
    "-Wl,-z,noexecstack",
    "-Wl,-z,noseparate-code",  # one segment less, and no pages of padding
)


def compile_program(tools: Tools, name: str, sources: tuple[str, ...], folders: tuple[Path, ...], out: Path) -> Path:
    """Build `out` from sources in the first of `folders` (the others hold headers only) and return it."""
    words: list[str | Path] = [tools.cc, *FLAGS]
    words += [word for folder in folders for word in ("-I", folder)]
    words += [folders[0] / source for source in sources]
    try:
        tools.do([*words, "-o", out])
    except HostError as error:
        raise HostError(
            f"{tools.cc} does not build the guest's program {name}",
            doing="making the guest's disks",
            log=tools.log,
            hint=f"{compilers()} for x86 builds it; KVMD_LAB_CC or --cc names another compiler",
        ) from error
    return out
