"""Every outside program that the lab calls, as `tools.toml` has them: what brings it, and which versions do.

`python -m lab.tools` writes them as docs/tools.md.
"""

from __future__ import annotations

import os
import re
import shutil
from functools import cache
from pathlib import Path
from typing import Literal

import msgspec

_FILE = Path(__file__).with_name("tools.toml")
_VERSION = re.compile(r"\d+(?:\.\d+)+")
Group = Literal["always", "embedded", "tests", "launcher", "optional"]


class Tool(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One program; the fields are explained on top of `tools.toml`."""

    program: str
    package: str
    group: Group
    options: str
    since: str
    ask: str = ""
    oldest: str = ""
    tried: dict[str, tuple[str, ...]] = {}

    def was_tried(self, version: str) -> bool:
        """Tell whether some distribution's version is this one, as far as the table says it."""
        return any(_parts(version)[: len(_parts(known))] == _parts(known) for known in self.all_tried)

    def is_too_old(self, version: str) -> bool:
        """Tell whether a version is below the oldest one that can do."""
        return bool(self.oldest and version) and _parts(version) < _parts(self.oldest)

    @property
    def all_tried(self) -> list[str]:
        """The versions of all distributions, the oldest first."""
        return sorted({version for versions in self.tried.values() for version in versions}, key=_parts)


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A C header that the compiler must find, and why."""

    name: str
    package: str
    why: str


class _ToolTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    tool: tuple[Tool, ...]
    header: tuple[Header, ...]


@cache
def _table() -> _ToolTable:
    return msgspec.toml.decode(_FILE.read_bytes(), type=_ToolTable)


def tools(*groups: Group) -> tuple[Tool, ...]:
    """Return the programs of some groups, of all groups without any."""
    return tuple(tool for tool in _table().tool if not groups or tool.group in groups)


def headers() -> tuple[Header, ...]:
    """Return the headers that are needed."""
    return _table().header


def tool(program: str) -> Tool:
    """Return a program's row; KeyError: there is none."""
    return _by_program()[program]


@cache
def _by_program() -> dict[str, Tool]:
    return {tool.program: tool for tool in _table().tool}


def package_of(program: str) -> str:
    """Return Debian's package for a program; a compiler with its version in its name is a package of that name."""
    row = _by_program().get(Path(program).name)
    return Path(program).name if row is None else row.package


def compilers() -> str:
    """Return the compilers that the lab is tried with, for messages."""
    majors = [version.partition(".")[0] for version in tool("gcc").all_tried]
    return f"gcc {majors[0]} to {majors[-1]}"


def version_in(said: str) -> str:
    """Return the version in what a program says of itself, "" if there is none."""
    found = re.search(r"OpenSSH_(\d+\.\d+)", said) or _VERSION.search(said)
    return "" if found is None else found[found.lastindex or 0]


def has_apt() -> bool:
    """Tell whether packages have Debian's names here."""
    return shutil.which("apt-get", path=f"{os.environ.get('PATH', '')}:/usr/bin") is not None


def advice(program: str, package: str) -> str:
    """Return what to try when a program is missing: Debian's command, elsewhere the program's own name."""
    if has_apt():
        return f"apt-get install {package}"
    return f"install the program {program} (Debian has it in the package {package})"


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


_HEAD = """# Outside programs

Made from `lab/tools.toml` by `python -m lab.tools`; change it there. `kvmd-lab doctor` tells which versions are here,
and whether these were tried.
"""
_GROUPS: dict[Group, str] = {
    "always": "Between a source and a verdict",
    "embedded": "For a kernel of today, besides",
    "tests": "For the project's own tests, besides",
    "launcher": "For ./kvmd-lab itself, and for the other side of --host",
    "optional": "Asked where it is there",
}


def page() -> str:
    """Return docs/tools.md."""
    lines = [_HEAD]
    for group, title in _GROUPS.items():
        lines += [f"## {title}", "", "| program | package | asked of it | since | tried |", "|---|---|---|---|---|"]
        lines += [_row(tool) for tool in tools(group)]
        lines.append("")
    lines += ["## Headers", ""]
    lines += [f"- `{header.name}` (package {header.package}): {header.why}." for header in headers()]
    return "\n".join(lines) + "\n"


def _row(tool: Tool) -> str:
    tried = "; ".join(f"{where}: {', '.join(versions)}" for where, versions in tool.tried.items())
    since = f"{tool.since}. Older than {tool.oldest} is refused" if tool.oldest else tool.since
    cells = (f"`{tool.program}`", tool.package, tool.options, since, tried)
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


if __name__ == "__main__":
    print(page(), end="")  # noqa: T201
