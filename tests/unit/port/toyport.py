"""The toy tree and its ledger, and small ledgers written on the spot."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from lab.port import Ledger, load
from lab.version import KernelVersion

DATA = Path(__file__).parents[2] / "data"
TOY_TREE = DATA / "toytree"
TOY_LEDGER = DATA / "toyledger" / "kernel-patches"
VERSION = KernelVersion("2.3.99-pre3")

_PIECES = (
    *('"', "'", "\\", "\n", "\\\n", "/*", "*/", "//", "#", "#error don't", "#define X(a) a##b", "  ", "\t", "\f"),
    *("(", ")", "{", "}", "[", "]", ";", ",", "*", "%", "@", "é", "->", "##", "0x1f", ".5e+3", "...", "<<="),
    *("FASTCALL(", "extern void FASTCALL(foo(int));", "void foo(int a)", "foo", "int", "static"),
    *("regparm", "__attribute__((noreturn))", "__FUNCTION__", "((char *) p)", "++;", "+= 4;", "+=", "++"),
    *('"a %d"', '"\'"', "'\"'", "'\\''", '"over\nlines"'),
)


def soup(seed: int, length: int = 40) -> str:
    """Pieces of C, thrown together."""
    dice = random.Random(seed)
    return "".join(dice.choice(_PIECES) + dice.choice(("", "", " ", "\n")) for _ in range(length))


def write_ledger(folder: Path, text: str) -> Ledger:
    """A ledger of one topic; what it installs lies beside `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "10-topic.toml").write_text(text, encoding="utf-8")
    return load(folder)


def record(name: str = "one", **fields: Any) -> str:
    """One record as TOML, with what every record needs."""
    told = {"id": name, "kind": "string", "why": "a reason", "files": ["a.c"], "count": 1, **fields}
    return "[[record]]\n" + "".join(f"{key} = {_toml(value)}\n" for key, value in told.items())


def _toml(value: object) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + "}"
    return str(value) if isinstance(value, int) else f"'''{value}'''"


def texts(root: Path) -> dict[str, bytes]:
    """Every file below `root`, by its path."""
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}
