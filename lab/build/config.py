"""Configuration fragments, turned into a kernel's .config; what was asked for is there, or it is an error."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from lab import process
from lab.build.place import environment
from lab.errors import CompileError, ConfigError
from lab.journal import Journal

Completed = Literal["oldconfig", "allnoconfig"]
_ASKED = ".kvmd-lab-asked.config"
_SET = re.compile(r"(CONFIG_\w+)=(.*)")
_UNSET = re.compile(r"# (CONFIG_\w+) is not set")


def parse(text: str) -> dict[str, str]:
    """Read options and their values; "n" stands for "is not set"."""
    return dict(_options(text))


def _options(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        if match := _SET.fullmatch(line.strip()):
            yield match[1], match[2]
        elif match := _UNSET.fullmatch(line.strip()):
            yield match[1], "n"


def merge(fragments: Sequence[Path]) -> dict[str, str]:
    """Put fragments together; two that disagree, and a line that is no option, are ConfigErrors that name the files."""
    options: dict[str, str] = {}
    origin: dict[str, Path] = {}
    for path in fragments:
        text = _read(path)
        _refuse_strange_lines(path, text)
        for name, value in _options(text):
            if options.get(name, value) != value:
                raise ConfigError(
                    f"{origin[name].name} wants {name}={options[name]}, {path.name} wants {name}={value}",
                    doing="merging configuration fragments",
                    hint="leave one of the two out",
                )
            options[name] = value
            origin[name] = path
    return options


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        what = f"{path} cannot be read ({error.strerror if isinstance(error, OSError) else error})"
        raise ConfigError(what, doing="merging configuration fragments") from error


def _refuse_strange_lines(path: Path, text: str) -> None:
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if stripped and not stripped.startswith("#") and not _SET.fullmatch(stripped):
            raise ConfigError(f"{path.name}:{number}: {line!r} is no option", doing="merging configuration fragments")


def render(options: Mapping[str, str]) -> str:
    """Write options the way .config has them, in the order of names."""
    lines = [f"# {name} is not set" if value == "n" else f"{name}={value}" for name, value in sorted(options.items())]
    return "".join(f"{line}\n" for line in lines)


def configure(
    tree: Path, options: Mapping[str, str], journal: Journal, log: Path, completed_by: Completed = "oldconfig"
) -> str:
    """Write .config, let the tree's own scripts complete it, and return the result.

    They give defaults ("oldconfig") or leave out whatever nobody asked for ("allnoconfig"). An option that did not
    survive is a ConfigError that names each with what became of it.
    """
    path = tree / ".config"
    asked = path if completed_by == "oldconfig" else tree / _ASKED
    asked.write_text(render(options), encoding="utf-8")
    words = {"oldconfig": [], "allnoconfig": [f"KCONFIG_ALLCONFIG={_ASKED}"]}[completed_by]
    # The old scripts ask on standard input for each option that is new to them; an empty line takes the default.
    argv = ["make", "ARCH=i386", *words, completed_by]
    if process.run(argv, cwd=tree, log=log, journal=journal, env=environment(tree), stdin=b"\n" * 5000) != 0:
        raise CompileError(f"make {completed_by} failed", doing="configuring the kernel", log=log)
    text = path.read_text(encoding="utf-8", errors="replace")
    final = parse(text)
    lost = [
        f"{name}={value} became {final.get(name, 'n')}"
        for name, value in options.items()
        if final.get(name, "n") != value
    ]
    if lost:
        raise ConfigError(
            "the tree's configuration scripts dropped " + ", ".join(lost),
            doing="configuring the kernel",
            log=log,
            hint="an option that another one needs is probably missing in the fragments",
        )
    return text
