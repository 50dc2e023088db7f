"""The compiler: which one it is, and the flags without which it breaks a kernel of 2000."""

from __future__ import annotations

import subprocess

import msgspec

from lab import process
from lab.errors import HostError
from lab.tools import advice, compilers, tool, version_in

# Each flag with what happens without it. They go into make's CC, so that every compile gets them: the boot loader's
# decompressor has CFLAGS of its own. The tree's own -Wall does not overrule them: gcc lets what is named go first.
FLAGS: tuple[tuple[str, str], ...] = (
    ("-m32", "code for another machine"),
    ("-march=i586", "Debian's -m32 means i686: the decompressor uses CMOV and triple-faults on a Pentium, silently"),
    ("-std=gnu89", "extern inline changes its meaning; old idioms fail"),
    ("-fno-toplevel-reorder", "unreferenced static pointers in special sections vanish: initcalls, __setup"),
    ("-fno-reorder-functions", "sections .text.unlikely and .text.startup that the link script does not know"),
    ("-fno-pie", "relocations that the link script does not know"),
    ("-fno-pic", "the same"),
    ("-fno-stack-protector", "calls of __stack_chk_fail, which is not there"),
    ("-fcf-protection=none", "endbr32 at every function, and a section that the link script does not know"),
    ("-fno-asynchronous-unwind-tables", ".eh_frame sections inside the image"),
    ("-fno-strict-aliasing", "silent miscompiles: the tree casts pointers at will"),
    ("-fwrapv", "silent miscompiles: jiffies arithmetic overflows on purpose"),
    ("-fno-strict-overflow", "the same for pointers"),
    ("-fno-delete-null-pointer-checks", "checks behind a dereference vanish"),
    ("-fcommon", "multiple definitions"),
    ("-mno-sse", "FPU state used in the kernel"),
    ("-mno-mmx", "the same"),
    ("-fno-tree-loop-distribute-patterns", "loops in string functions become calls of themselves"),
    (
        "-Werror=implicit-function-declaration",
        "a call of what is declared nowhere gives an int, whatever it is",
    ),
    (
        "-Werror=incompatible-pointer-types",
        "a pointer to something else, such as another kind of lock",
    ),
    ("-Werror=int-conversion", "a number is taken for a pointer"),
    ("-Werror=return-type", "a function may end without the value that its caller takes"),
    ("-Wno-attributes", "thousands of lines about bytes that are said to be packed"),
    ("-Wno-pointer-sign", "hundreds about signed and unsigned characters"),
    ("-Wno-array-bounds", "hundreds about structures that stand for any memory, for assembler"),
)
_CLANG = ". clang is for kernels of today: without -fno-toplevel-reorder, pointers that only the linker sees vanish"


class Toolchain(msgspec.Struct, frozen=True):
    """A compiler with its flags; `identity` changes whenever its output may."""

    cc: str
    flags: tuple[str, ...]
    identity: str

    @property
    def command(self) -> str:
        """What make gets as CC."""
        return " ".join((self.cc, *self.flags))


def toolchain(cc: str, table: tuple[tuple[str, str], ...] = FLAGS) -> Toolchain:
    """Find a compiler and its binutils; a missing one, or one without 32-bit code, is a HostError.

    `table` has the flags that a kernel needs in CC, with their reasons.
    """
    package = cc if cc.startswith("gcc-") else "gcc"
    process.require(cc, package)
    process.require("make", "make")
    process.require("ld", "binutils")
    flags = tuple(flag for flag, _ in table)
    _check_age(cc)
    _try_flags(cc, flags or ("-m32",))
    versions = [_first_line([cc, "--version"]), _first_line(["ld", "--version"])]
    return Toolchain(cc, flags, "; ".join(versions))


def check_host_programs(chosen: Toolchain) -> None:
    """Try whether the compiler makes programs for this host, as the tree's build helpers are; HostError if not."""
    argv = [chosen.cc, "-o", "/dev/null", "-x", "c", "-"]
    source = '#include <stdio.h>\nint main(void) { return puts("") < 0; }\n'
    attempt = subprocess.run(argv, input=source, capture_output=True, text=True, check=False)
    if attempt.returncode != 0:
        raise HostError(
            f"{chosen.cc} cannot make a program for this host",
            doing="trying the compiler",
            seen=attempt.stderr.splitlines()[-5:],
            hint=advice("C library's headers: stdio.h", "libc6-dev"),
        )


def _first_line(argv: list[str]) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0 or not done.stdout.strip():
        raise HostError(f"{argv[0]} does not tell its version", doing="trying the compiler", seen=[done.stderr[-200:]])
    return done.stdout.splitlines()[0]


def _check_age(cc: str) -> None:
    """Refuse a compiler whose version is known to be too old, by name: its own message would be about some flag."""
    said = _first_line([cc, "--version"])
    version = version_in(said)
    if "clang" not in said and tool("gcc").is_too_old(version):
        raise HostError(
            f"{cc} is of version {version}, which is too old",
            doing="trying the compiler",
            seen=[said],
            hint=f"gcc {tool('gcc').oldest} or newer; kvmd-lab is tried with {compilers()}. --cc names another one",
        )


def _try_flags(cc: str, flags: tuple[str, ...]) -> None:
    argv = [cc, *flags, "-S", "-o", "/dev/null", "-x", "c", "/dev/null"]
    attempt = subprocess.run(argv, capture_output=True, text=True, check=False)
    if attempt.returncode != 0:
        raise HostError(
            f"{cc} cannot make 32-bit code with the flags that the kernel needs",
            doing="trying the compiler",
            seen=attempt.stderr.splitlines()[-5:],
            hint=f"kvmd-lab is tried with {compilers()} for x86; --cc names another one{_CLANG * ('clang' in cc)}",
        )
