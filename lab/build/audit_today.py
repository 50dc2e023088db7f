"""The link audit of a kernel of today: its own build finds most of what can go wrong, so this looks at what it keeps.

The tables of functions that run at boot and of words on the command line have as many entries as there are declarations
among the symbols, the exception table was sorted, and kvmd is in if it was asked for.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

from elftools.elf.elffile import ELFFile

from lab.build.audit import Audit
from lab.build.symbols import symbols

# What the messages call a table, its symbols at both ends, bytes an entry, and how a declaration's symbol begins.
_TABLES = (
    ("initcalls", "__initcall_start", "__initcall_end", 4, "__initcall__"),
    ("setup entries", "__setup_start", "__setup_end", 12, "__setup_str_"),
)
_CONSOLE = ("__con_initcall_start", "__con_initcall_end")  # declared like initcalls, kept apart
_EXCEPTION = struct.Struct("<iii")  # each an offset from its own place: instruction, fixup; then flags
_KVMD = ("kvmd_init", "kvmdctl_start", "kvmd_open", "kvmd_alloc", "kvmd_map", "kvmd_unmap", "kvmd_free", "kvmd_close")


def audit_today(tree: Path, *, kvmd: bool) -> Audit:
    """Audit the vmlinux that was built in `tree`."""
    with (tree / "vmlinux").open("rb") as file:
        elf = ELFFile(file)
        places = {symbol.name: symbol.value for symbol in symbols(elf)}
        declared, linked, findings = _tables(places)
        entries, sorted_ = _exceptions(elf)
    if not sorted_:
        findings.append("the exception table is not sorted: lookups by bisection will miss entries")
    missing = [name for name in _KVMD if name not in places] if kvmd else []
    if missing:
        findings.append(f"kvmd was asked for, but is not linked: {', '.join(missing)}")
    return Audit(declared, linked, entries, tuple(findings))


def _tables(places: dict[str, int]) -> tuple[dict[str, int], dict[str, int], list[str]]:
    declared: dict[str, int] = {}
    linked: dict[str, int] = {}
    findings = []
    for what, start, end, size, begins in _TABLES:
        declared[what] = sum(name.startswith(begins) for name in places)
        linked[what] = _length(places, start, end) // size
        if what == "initcalls":
            linked[what] += _length(places, *_CONSOLE) // size
        if linked[what] != declared[what] or not linked[what]:
            findings.append(f"{declared[what]} {what} are declared, {linked[what]} are linked")
    return declared, linked, findings


def _length(places: dict[str, int], start: str, end: str) -> int:
    return places.get(end, 0) - places.get(start, 0)


def _exceptions(elf: Any) -> tuple[int, bool]:
    """How many entries the exception table has, and whether they are in the order of their instructions."""
    section = elf.get_section_by_name("__ex_table")
    if section is None:
        return 0, False
    offsets = [at * _EXCEPTION.size + entry[0] for at, entry in enumerate(_EXCEPTION.iter_unpack(section.data()))]
    return len(offsets), offsets == sorted(offsets)
