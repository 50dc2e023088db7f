"""The table of outside programs: whole, true to the code, and what its page is made from."""

from __future__ import annotations

import ast
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import resources, tools
from lab.remote import deploy

CALLING = {"run", "_run", "Popen", "check_output", "_first_line", "do"}  # take the words of a command
LOOKING = {"require", "find_tool", "which"}  # take a program's name
# What every system for people has in its shell or beside it: POSIX, or of one package with such programs.
EVERYWHERE = {
    "basename",
    "cat",
    "cksum",
    "dirname",
    "env",
    "grep",
    "id",
    "mkdir",
    "mv",
    "rm",
    "sh",
    "sort",
    "touch",
    "paste",
}
OPENING = {"!", "do", "elif", "else", "exec", "if", "then", "until", "while"}  # a command comes right behind it
SHELL = {
    "[",
    ":",
    "cd",
    "case",
    "command",
    "done",
    "echo",
    "esac",
    "exit",
    "export",
    "fi",
    "for",
    "printf",
    "pwd",
    "return",
}
SHELL |= {"break", "continue", "set", "shift", "trap", "unset"}


def sources() -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(resources.package().rglob("*.py")):
        yield path.relative_to(resources.package()), ast.parse(path.read_text(encoding="utf-8"))


def name_of(function: ast.expr) -> str:
    """Return the last part of a dotted name; whatever else it is, that is no name of ours."""
    return ast.unparse(function).rpartition(".")[2]


def text_of(node: ast.expr | None) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def first_word(node: ast.expr | None) -> str | None:
    return text_of(node.elts[0]) if isinstance(node, ast.List) and node.elts else None


def called(module: ast.Module) -> Iterator[str]:
    """Give the programs that a module names: in a command's words, or where it looks for one."""
    for node in ast.walk(module):
        word = None
        if isinstance(node, ast.Call) and node.args and name_of(node.func) in CALLING:
            word = first_word(node.args[0])
        elif isinstance(node, ast.Call) and node.args and name_of(node.func) in LOOKING:
            word = text_of(node.args[0])
        elif isinstance(node, ast.Assign) and [name_of(target) for target in node.targets] == ["argv"]:
            word = first_word(node.value)
        if word is not None and not word.startswith("-"):
            yield word


def commands(script: str) -> set[str]:
    """Return the first words of a shell script's commands, without its own functions."""
    script = re.sub(r"<<'(\w+)'\n.*?^\1$", "", script, flags=re.MULTILINE | re.DOTALL)  # here-documents
    script = re.sub(r"(^|\s)#.*", "", script)
    script = re.sub(r"^[^()\n]*\)", "", script, flags=re.MULTILINE).replace("$(", "\n")  # the patterns of a case
    script = re.sub(r"""'[^']*'|"(?:[^"\\\n]|\\.)*\"""", '""', script)
    functions = set(re.findall(r"^(\w+)\(\)", script, re.MULTILINE))
    found = set()
    for piece in re.split(r"[\n;|&(){}]+", script):
        words = [word for word in piece.split() if not re.match(r"\w+=", word)]
        while words and words[0] in OPENING:
            words = words[1:]
        if words and re.fullmatch(r"[a-z][\w.+-]*", words[0]):
            found.add(words[0])
    return found - functions - SHELL


def test_every_program_that_the_lab_calls_is_in_the_table() -> None:
    known = {tool.program for tool in tools.tools()} | EVERYWHERE
    found = {(str(path), word) for path, module in sources() for word in called(module)}
    assert {("build/make.py", "make"), ("build/audit.py", "objdump"), ("process.py", "setpriv")} <= found
    assert {(path, word) for path, word in found if word not in known} == set()


def test_every_program_of_the_shell_scripts_is_in_the_table() -> None:
    known = {tool.program for tool in tools.tools()} | EVERYWHERE
    launcher = resources.top_file("kvmd-lab").read_text(encoding="utf-8")
    found = commands(launcher) | commands(deploy._FIND) | commands(deploy._SET_UP)
    assert {"apt-cache", "flock", "id", "find", "tar"} <= found
    assert found - known == set()


def test_packages_in_the_code_are_the_table_s() -> None:
    pairs = {
        (text_of(node.args[0]), text_of(node.args[1]))
        for _, module in sources()
        for node in ast.walk(module)
        if isinstance(node, ast.Call) and name_of(node.func) == "require" and len(node.args) > 1
    }
    stated = [(program, package) for program, package in pairs if program is not None and package is not None]
    assert ("mke2fs", "e2fsprogs") in stated
    assert [(program, tools.package_of(program)) for program, _ in stated] == stated


def test_the_page_is_made_from_the_table() -> None:
    page = resources.package().parent / "docs" / "tools.md"
    assert page.read_text(encoding="utf-8") == tools.page(), "python -m lab.tools >docs/tools.md"


def test_each_program_stands_once() -> None:
    names = [tool.program for tool in tools.tools()]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("gcc-11 (Debian 11.3.0-12) 11.3.0", "11.3.0"),
        ("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)", "7.2.22"),
        ("GNU ld (GNU Binutils for Debian) 2.47.50.20261021", "2.47.50.20261021"),
        ("mke2fs 1.47.0 (5-Feb-2023)", "1.47.0"),
        ("unknown option -- V\nOpenSSH_9.2p1 Debian-2, OpenSSL 3.0.15", "9.2"),
        ("no number here", ""),
    ],
)
def test_version_is_found_in_what_a_program_says(said: str, version: str) -> None:
    assert tools.version_in(said) == version


def test_versions_are_compared_by_their_parts() -> None:
    gcc = tools.tool("gcc")
    assert gcc.was_tried("12.2.0")
    assert not gcc.was_tried("12.20.0")
    assert not gcc.was_tried("12")
    assert gcc.is_too_old("4.9.2")
    assert not gcc.is_too_old("8.1.0")
    assert not gcc.is_too_old("10.2.1")
    assert not gcc.is_too_old("")


def test_compilers_are_told_from_the_oldest_to_the_newest() -> None:
    assert tools.compilers() == "gcc 11 to 16"


def test_advice_names_the_program_where_there_are_no_debian_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    assert tools.advice("mke2fs", "e2fsprogs").startswith("install the program mke2fs")
    monkeypatch.setattr(shutil, "which", lambda *_, **__: "/usr/bin/apt-get")
    assert tools.advice("mke2fs", "e2fsprogs") == "apt-get install e2fsprogs"
