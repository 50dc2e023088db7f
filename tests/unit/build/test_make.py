from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lab.build.make import depend, make
from lab.build.toolchain import Toolchain
from lab.errors import CompileError, HostError
from lab.journal import Journal

FAKE = Toolchain("fakecc", ("-x",), "fake")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log"
    path.write_text("old.c:1: error: of another command\nNo space left on device, once\n")
    return path


def tree(folder: Path, *recipe: str) -> Path:
    (folder / "Makefile").write_text("bzImage dep include/config/MARKER:\n" + "".join(f"\t{line}\n" for line in recipe))
    return folder


def test_compiled_sources_are_counted_and_told(tmp_path: Path, log: Path) -> None:
    heard: list[dict[str, Any]] = []
    journal = Journal()
    journal.listen(heard.append)
    work = tree(
        tmp_path, "@echo fakecc -x -c a.c", "@echo fakecc -x -E a.S", "@echo fakecc -O -c -o b.o b.c", "@echo x"
    )
    assert make(work, FAKE, 1, journal, log, 9) == 2
    assert [(event["done"], event["total"]) for event in heard if event["kind"] == "progress"] == [(1, 9), (2, 9)]


def test_make_gets_the_compilers_for_the_kernel_and_for_the_host(tmp_path: Path, log: Path) -> None:
    work = tree(tmp_path, "@echo '[$(ARCH)] [$(CC)] [$(AS)] [$(HOSTCC)] [$(MAKELEVEL)]'")
    make(work, FAKE, 1, Journal(), log)
    assert "[i386] [fakecc -x] [as --32] [fakecc -std=gnu89] [0]\n" in log.read_text()


def test_linked_kernel_is_told_once_when_make_goes_on_to_pack_it(tmp_path: Path, log: Path) -> None:
    told: list[str] = []
    line = "make[1]: Entering directory '/a b/arch/i386/boot'"
    work = tree(tmp_path, "@echo fakecc -x -c a.c", f'@echo "{line}"', f'@echo "{line}"')
    make(work, FAKE, 1, Journal(), log, when_linked=lambda: told.append(log.read_text()))
    assert len(told) == 1


def test_kernel_that_is_not_packed_is_not_told(tmp_path: Path, log: Path) -> None:
    work = tree(tmp_path, "@echo \"make[1]: Entering directory '/a/arch/i386/kernel'\"")
    make(work, FAKE, 1, Journal(), log, when_linked=lambda: pytest.fail("told"))


@pytest.mark.parametrize(
    "line",
    [
        "a.c:7:3: error: what is this",
        "a.s:7: Error: bad thing",
        "a.o: undefined reference to f",
        "multiple definition of f",
    ],
)
def test_error_of_the_compiler_is_shown(tmp_path: Path, log: Path, line: str) -> None:
    work = tree(tmp_path, f"@echo '{line}'; echo noise; exit 1")
    with pytest.raises(CompileError, match="make bzImage failed") as caught:
        make(work, FAKE, 1, Journal(), log)
    assert caught.value.seen[0] == line
    assert "noise" not in caught.value.seen
    assert caught.value.log == log


def test_error_in_the_dependencies_names_them(tmp_path: Path, log: Path) -> None:
    with pytest.raises(CompileError, match="make dep failed"):
        depend(tree(tmp_path, "@exit 1"), FAKE, 1, Journal(), log)


def test_dependencies_without_an_entry_are_an_error(tmp_path: Path, log: Path) -> None:
    with pytest.raises(CompileError, match="make dep found no dependencies"):
        depend(tree(tmp_path, "@: >.depend"), FAKE, 1, Journal(), log)


def test_dependencies_with_an_entry_are_taken(tmp_path: Path, log: Path) -> None:
    depend(tree(tmp_path, "@echo a.o: a.h >.depend"), FAKE, 1, Journal(), log)


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("a.s: Fatal error: writing a.o: No space left on device", "the disk is full"),
        ("ld: final link failed: No space left on device", "the disk is full"),
        ("ld: cannot open output file a.o: Read-only file system", "the file system is read-only"),
        ("cc1: out of memory: Cannot allocate memory", "the memory is used up"),
        ("gcc: fatal error: Killed signal terminated program cc1", "the compiler was killed"),
    ],
)
def test_trouble_of_the_host_is_no_compile_error(tmp_path: Path, log: Path, line: str, what: str) -> None:
    log.write_text("")
    work = tree(tmp_path, f"@echo '{line}'; exit 1")
    with pytest.raises(HostError, match=what) as caught:
        make(work, FAKE, 1, Journal(), log)
    assert caught.value.seen == (line,)


def test_make_below_another_make_is_on_its_own(tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAKEFLAGS", "n -- CC=other")
    work = tree(tmp_path, "@echo '[$(CC)]'")
    make(work, FAKE, 1, Journal(), log)
    assert "[fakecc -x]\n" in log.read_text()
