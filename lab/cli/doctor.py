"""Which host tools there are, in which versions, and which Debian packages bring those that are missing."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path

import msgspec

from lab.errors import SourceError
from lab.process import find_tool
from lab.settings import Settings
from lab.source import choose, is_of_today, is_series, locate, packaged, version_at
from lab.tools import Header, Tool, compilers, has_apt, headers, package_of, tool, tools, version_in

INCLUDES = Path("/usr/include")


class Topic(msgspec.Struct, frozen=True):
    """What a command is about, if it says so: a tree, and the series of a kernel of today (empty: none)."""

    tree: Path | None = None
    series: str = ""


class ToolCheck(msgspec.Struct, frozen=True):
    """One tool: found or not, what it says of itself (or what is wrong), and the package that brings it.

    `tried` says whether the lab was tried with that version (None: nobody asked, or it tells none); `too_old` that it
    is refused.
    """

    tool: str
    found: bool
    detail: str
    package: str
    version: str = ""
    tried: bool | None = None
    too_old: bool = False


def examine(
    settings: Settings | None = None,
    *,
    embedded: bool | None = None,
    browser: bool = False,
    serving: bool = False,
    versions: bool = True,
    subject: Topic | None = None,
) -> list[ToolCheck]:
    """Look at every tool that some stage needs.

    `embedded`: also at what the distribution's own kernel source takes; None: only when that is what would be built.
    `browser`: also at what only the project's own tests take. `serving`: at what a host needs that others send their
    trees to. Without `versions` no program is started to tell its version. `subject` is what a command is about, if it
    names a tree or a kernel; then nothing else has to be there.
    """
    settings = settings or Settings.from_environment()
    subject = subject or Topic()
    if serving:
        embedded = False
    elif embedded is None and subject == Topic() and not versions and _has_all_of_today():
        embedded = True  # nothing is missing whichever kernel would be taken, and to choose may take ten seconds
    source = _source(subject, settings, embedded=embedded)
    wanted = [
        *tools("always"),
        *(tools("embedded") if serving or source is not None or _is_of_today(subject, settings) else ()),
        *(tools("tests") if browser else ()),
    ]
    chosen = {"gcc": settings.cc, "qemu-system-i386": settings.qemu}
    checks = [_check(one, chosen.get(one.program, one.program), versions=versions) for one in wanted]
    checks += [_check_header(header, settings.cc) for header in headers()]
    checks += [source] if source else []
    return [_python(), *checks] if versions else checks


def tell(check: ToolCheck) -> str:
    """Return a check as a line for people."""
    state = "MISSING" if not check.found else "TOO OLD" if check.too_old else "ok"
    known = {None: "", True: "tried", False: "not tried"}[check.tried]
    return f"{state:<8}{check.tool:<26}{known:<11}{check.detail}"


def remedies(checks: Sequence[ToolCheck]) -> list[str]:
    """Say what to do about what is missing or too old; nothing if all is well."""
    missing = [check for check in checks if not check.found]
    packages = sorted({check.package for check in missing})
    lines = []
    if missing and has_apt():
        lines.append(f"install what is missing: apt-get install --no-install-recommends {' '.join(packages)}")
    elif missing:
        lines.append("this distribution has no apt-get; install, under its own names, what brings these:")
        lines.append("    " + ", ".join(check.tool for check in missing))
        lines.append(f"Debian has them in: {' '.join(packages)}")
    return lines + [f"{one.tool} {one.version} is too old; {_youngest(one)}" for one in checks if one.too_old]


def _youngest(check: ToolCheck) -> str:
    if check.package == "qemu-system-x86":
        return f"{tool('qemu-system-i386').oldest} or newer is needed; KVMD_LAB_QEMU names another program"
    return (
        f"{tool('gcc').oldest} or newer is needed, the lab is tried with {compilers()}; KVMD_LAB_CC names another one"
    )


def _python() -> ToolCheck:
    row, version = tool("python3"), platform.python_version()
    return ToolCheck(
        "python3", found=True, detail="this one", package=row.package, version=version, tried=row.was_tried(version)
    )


def _check(row: Tool, program: str, *, versions: bool) -> ToolCheck:
    package = row.package if program == row.program else package_of(program)
    path = find_tool(program)
    if path is None:
        return ToolCheck(program, found=False, detail=f"in the package {package}", package=package)
    if not versions or not row.ask:
        return ToolCheck(program, found=True, detail=path, package=package)
    try:
        done = subprocess.run([path, row.ask], capture_output=True, text=True, errors="replace", check=False)
    except OSError as error:
        return ToolCheck(program, found=False, detail=f"{path} cannot be started ({error.strerror})", package=package)
    said = done.stdout or done.stderr
    version = version_in(said)
    return ToolCheck(
        program,
        found=True,
        detail=next((line for line in said.splitlines() if version and version in line), said.partition("\n")[0]),
        package=package,
        version=version,
        tried=bool(version) and row.was_tried(version),
        too_old=row.is_too_old(version),
    )


def _check_header(header: Header, cc: str) -> ToolCheck:
    """Ask the compiler for a header; without one, look where it would be."""
    found = (INCLUDES / header.name).is_file()
    path = find_tool(cc)
    if path is not None and not found:
        source = f"#include <{header.name}>\n"
        argv = [path, "-E", "-o", "/dev/null", "-x", "c", "-"]
        found = subprocess.run(argv, input=source, capture_output=True, text=True, check=False).returncode == 0
    return ToolCheck(header.name, found=found, detail=header.why, package=header.package)


def subject_in(words: Sequence[str]) -> Topic:
    """Return what a command with these words is about: its --tree, and its kernel as far as that is a series."""
    given = iter(word for each in words for word in (each.split("=", 1) if each.startswith("--") else [each]))
    subject = Topic()
    for word in given:
        if word == "--tree":
            subject = msgspec.structs.replace(subject, tree=Path(next(given, "")))
        elif word == "--kernel" and is_series(name := next(given, "")):
            subject = msgspec.structs.replace(subject, series=name)
    return subject


def _source(subject: Topic, settings: Settings, *, embedded: bool | None) -> ToolCheck | None:
    """Look at the source that a package brings, if it is one that is wanted."""
    if subject.tree is not None or embedded is False:
        return None
    if subject.series:
        return None if _has_tree(subject.series, settings) else _check_source(subject.series)
    return _check_source(packaged.current()) if embedded or choose(settings).embedded else None


def _has_all_of_today() -> bool:
    """Tell whether what the distribution's own kernel takes is there."""
    programs = all(find_tool(one.program) is not None for one in tools("embedded"))
    return programs and _check_source(packaged.current()).found


def _has_tree(series: str, settings: Settings) -> bool:
    try:
        return locate(series, settings) == "tree"
    except SourceError:  # it is in no package that is installed, too
        return False


def _is_of_today(subject: Topic, settings: Settings) -> bool:
    if subject.tree is None:
        return bool(subject.series)
    version = version_at(subject.tree, settings)
    return version is not None and is_of_today(version)


def _check_source(name: str) -> ToolCheck:
    found, package = packaged.of_series(name), packaged.package_of(name)
    if found is not None:
        return ToolCheck(found.file.name, found=True, detail=f"in {found.file.parent}", package=package)
    return ToolCheck(f"{package}*.tar.xz", found=False, detail=f"in the package {package}", package=package)
