"""The link audit: a kernel holds what its sources declare, and nothing that its processor cannot run.

Compilers of today may drop or bend what the old tree relies on, and the result still links. A finding is a sentence;
no findings, no error.
"""

from __future__ import annotations

import re
import subprocess
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
from elftools.elf.elffile import ELFFile

from lab.build.symbols import Symbol, symbols
from lab.build.toolchain import Toolchain

# Section, what one entry of it takes (bytes), and the name in the messages.
TABLES = ((".initcall.init", 4, "initcalls"), (".setup.init", 8, "setup entries"))
_DECLARES = re.compile(rb"\b(?:module_init|__initcall|__setup)\b")
_FOREIGN = re.compile(r"\t(cmov\w+|fcmov\w+|sysenter|[a-z0-9]+[ \t][^\n]*%[xy]mm\d[^\n]*)")
_FOREIGN_WORDS = ("cmov", "sysenter", "%xmm", "%ymm")  # one of them is in whatever _FOREIGN finds, and soon sought
_FORBIDDEN_SECTIONS = re.compile(r"\.(plt|got|rel|dyn|interp|eh_frame|note\.gnu\.property)")


class Audit(msgspec.Struct, frozen=True):
    """What was counted, and the findings."""

    declared: dict[str, int]
    linked: dict[str, int]
    exception_entries: int
    findings: tuple[str, ...]


def audit(tree: Path, toolchain: Toolchain, smp: bool) -> Audit:
    """Audit the vmlinux that was built in `tree`, and the objects that it was linked from."""
    objects = [path for path in _objects(tree) if path.with_suffix(".c").is_file()]
    with ThreadPoolExecutor(2) as aside, (tree / "vmlinux").open("rb") as file:
        # gcc and objdump work on these while Python reads the symbols
        instructions = aside.submit(_instructions, tree, tree / "vmlinux")
        declaring = [path for path in objects if _DECLARES.search(path.with_suffix(".c").read_bytes())]
        texts = [aside.submit(_preprocess, tree, path.with_suffix(".c"), toolchain, smp) for path in declaring]
        elf = ELFFile(file)
        names = {symbol.name: symbol for symbol in symbols(elf)}
        declared, findings = _tables_of_objects(tree, dict(zip(declaring, texts, strict=True)), names)
        linked = {}
        for section, size, name in TABLES:
            table = elf.get_section_by_name(section)
            linked[name] = 0 if table is None else table["sh_size"] // size
            if linked[name] != declared[name]:
                findings.append(f"{declared[name]} {name} are declared, {linked[name]} are linked")
        entries, more = _exception_table(elf, names)
        findings += more + _sections(elf) + _symbols(elf, names)
        findings += instructions.result()
    return Audit(declared, linked, entries, tuple(findings))


def _objects(tree: Path) -> list[Path]:
    """The kernel's own objects: not the boot loader's, not those of the build's helpers."""
    found = (path for path in tree.rglob("*.o") if not {"boot", "scripts"} & set(path.relative_to(tree).parts))
    return sorted(found)


def _tables_of_objects(
    tree: Path, texts: dict[Path, Future[str]], kernel: dict[str, Symbol]
) -> tuple[dict[str, int], list[str]]:
    """Compare each object's tables with its preprocessed source; return the sums over the linked ones."""
    totals = {name: 0 for _, _, name in TABLES}
    findings = []
    for path, preprocessed in texts.items():
        text = preprocessed.result()
        with path.open("rb") as file:
            elf = ELFFile(file)
            for section, size, name in TABLES:
                wanted = _declarations(text, section)
                table = elf.get_section_by_name(section)
                found = 0 if table is None else table["sh_size"] // size
                if found != wanted:
                    where = path.relative_to(tree)
                    findings.append(f"{where}: the source declares {wanted} {name}, the object holds {found}")
                if _is_linked(elf, kernel):
                    totals[name] += wanted
    return totals, findings


def _preprocess(tree: Path, source: Path, toolchain: Toolchain, smp: bool) -> str:
    argv = [*toolchain.command.split(), "-E", "-P", "-D__KERNEL__", f"-I{tree / 'include'}", *(["-D__SMP__"] * smp)]
    done = subprocess.run([*argv, str(source)], capture_output=True, text=True, errors="replace", check=False)
    return done.stdout


def _declarations(text: str, section: str) -> int:
    return len(re.findall(rf'section(?:__)?\s*\(\s*"{re.escape(section)}"\s*\)', text))


def _is_linked(elf: Any, kernel: dict[str, Symbol]) -> bool:
    """Whether an object is part of the kernel: an archive gives only the members that somebody asks for."""
    return next((symbol.name in kernel for symbol in symbols(elf) if symbol.is_offered), True)


def _exception_table(elf: Any, names: dict[str, Symbol]) -> tuple[int, list[str]]:
    section = elf.get_section_by_name("__ex_table")
    if section is None:
        return 0, ["there is no exception table"]
    raw = section.data()
    entries = [
        (int.from_bytes(raw[at : at + 4], "little"), int.from_bytes(raw[at + 4 : at + 8], "little"))
        for at in range(0, len(raw), 8)
    ]
    findings = []
    if [where for where, _ in entries] != sorted(where for where, _ in entries):
        findings.append("the exception table is not sorted: lookups by bisection will miss entries")
    # .text.init behind _end of text holds code as well until it is freed; faults are expected only in what stays.
    if not {"_text", "_etext"} <= names.keys():
        return len(entries), [*findings, "there is no symbol _text or _etext, so nothing says where the text is"]
    low, high = names["_text"].value, names["_etext"].value
    stray = [where for where, target in entries if not (low <= where < high and low <= target < high)]
    if stray:
        findings.append(
            f"{len(stray)} entries of the exception table lie outside the text, the first at {stray[0]:08x}"
        )
    return len(entries), findings


def _sections(elf: Any) -> list[str]:
    return [
        f"section {section.name} ({section['sh_size']} bytes) has no place in this kernel"
        for section in elf.iter_sections()
        if _FORBIDDEN_SECTIONS.match(section.name) and section["sh_size"]
    ]


def _symbols(elf: Any, names: dict[str, Symbol]) -> list[str]:
    findings = [f"symbol {name} has no place in this kernel" for name in names if name.startswith("__stack_chk")]
    code = {
        index: (section["sh_addr"], section.data())
        for index, section in enumerate(elf.iter_sections())
        if section.name.startswith(".text")
    }
    for name, symbol in names.items():
        base, raw = code.get(symbol.section, (0, b""))
        at = symbol.value - base
        if symbol.is_function and raw[at : at + 4] == b"\xf3\x0f\x1e\xfb":
            return [*findings, f"{name} begins with endbr32"]
    return findings


def audit_decompressor(tree: Path) -> list[str]:
    """Audit what unpacks the kernel at boot; return the findings."""
    objects = sorted((tree / "arch/i386/boot/compressed").glob("*.o"))
    # piggy.o is the compressed kernel: data
    return [finding for path in objects if path.name != "piggy.o" for finding in _instructions(tree, path)]


def _instructions(tree: Path, path: Path) -> list[str]:
    """Look for instructions that a Pentium does not have."""
    argv = ["objdump", "-d", "--no-show-raw-insn", str(path)]
    text = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    found = _FOREIGN.findall(text) if any(word in text for word in _FOREIGN_WORDS) else []
    if not found:
        return []
    return [f"{path.relative_to(tree)}: {len(found)} instructions that a Pentium lacks, first: {found[0]}"]
