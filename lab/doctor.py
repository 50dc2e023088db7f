"""Which host tools there are, and which Debian packages bring those that are missing."""

from __future__ import annotations

import subprocess

import msgspec

from lab.process import find_tool
from lab.settings import Settings
from lab.source import choose, packaged


class Check(msgspec.Struct, frozen=True):
    """One tool: found or not, its version (or what is wrong), and the package that brings it."""

    tool: str
    found: bool
    detail: str
    package: str


# Tool, the argument that makes it say its version, and Debian's package.
TOOLS = (
    ("make", "--version", "make"),
    ("ld", "--version", "binutils"),
    ("objdump", "--version", "binutils"),
    ("gzip", "--version", "gzip"),
    ("mke2fs", "-V", "e2fsprogs"),
    ("debugfs", "-V", "e2fsprogs"),
    ("git", "--version", "git"),
    ("setpriv", "--version", "util-linux"),
)
# What a kernel of today needs on top of these.
EMBEDDED_TOOLS = (
    ("flex", "--version", "flex"),
    ("bison", "--version", "bison"),
    ("bc", "--version", "bc"),
    ("xz", "--version", "xz-utils"),
)
# What the tests look at pages with.
BROWSER = (("chromium", "--version", "chromium"),)


# What the tests of other hosts are made with.
SERVER = (("sshd", "-V", "openssh-server"),)


def examine(
    settings: Settings | None = None, *, embedded: bool | None = None, browser: bool = False, serving: bool = False
) -> list[Check]:
    """Look at every tool that some stage needs.

    `embedded`: also at what the distribution's own kernel source takes; None: only when that is what would be built.
    `browser`: also at what only the project's own tests take. `serving`: at what a host needs that others send their
    trees to.
    """
    settings = settings or Settings.from_environment()
    if serving:
        embedded = False
    if embedded is None:
        embedded = choose(settings).embedded
    own = ((settings.cc, "--version", _package_of(settings.cc)), (settings.qemu, "--version", "qemu-system-x86"))
    more = (*(EMBEDDED_TOOLS if embedded or serving else ()), *((*BROWSER, *SERVER) if browser else ()))
    checks = [_check(*tool) for tool in (*own, *TOOLS, *more)]
    return [*checks, *([_check_source()] if embedded else [])]


def _check_source() -> Check:
    for each in packaged.installed():
        return Check(each.file.name, found=True, detail=f"in {each.file.parent}", package=packaged.CURRENT)
    return Check(
        f"{packaged.CURRENT}-*.tar.xz",
        found=False,
        detail=f"in the package {packaged.CURRENT}",
        package=packaged.CURRENT,
    )


def _package_of(cc: str) -> str:
    return cc if cc.startswith("gcc-") else "gcc"


def _check(tool: str, argument: str, package: str) -> Check:
    path = find_tool(tool)
    if path is None:
        return Check(tool, found=False, detail=f"in the package {package}", package=package)
    done = subprocess.run([path, argument], capture_output=True, text=True, check=False)
    lines = (done.stdout or done.stderr).splitlines()
    return Check(tool, found=True, detail=lines[0] if lines else "", package=package)
