from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from lab.build.toolchain import FLAGS, Toolchain, check_host_programs, toolchain
from lab.errors import HostError
from tests.unit.build.toykernel import fake_tools

NO_M32 = 'case "$*" in *-m32*) echo "cc1: sorry, no 32 bits" >&2; exit 1;; esac; echo fake 12.0'


def test_compiler_is_told_with_its_version_and_flags(gcc: Toolchain) -> None:
    assert gcc.cc == "gcc"
    assert gcc.command.startswith("gcc -m32 -march=i586 ")
    assert "gcc" in gcc.identity
    assert "GNU ld" in gcc.identity


def test_each_flag_has_its_reason() -> None:
    assert all(flag.startswith("-") and reason for flag, reason in FLAGS)
    assert len({flag for flag, _ in FLAGS}) == len(FLAGS)


def compiled(gcc: Toolchain, source: str) -> str:
    """What a compile says, under the tree's own warnings as well."""
    argv = [*gcc.command.split(), "-Wall", "-S", "-o", "/dev/null", "-x", "c", "-"]
    return subprocess.run(argv, input=source, capture_output=True, text=True, check=False).stderr


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("int f(void) { return missing(1); }", "implicit"),
        ("struct a; struct b; int g(struct a *); int f(struct b *b) { return g(b); }", "incompatible pointer"),
        ("int g(char *); int f(int i) { return g(i); }", "without a cast"),
        ("static int f(void) { } int g(void) { return f(); }", "no return statement"),
    ],
)
def test_mistake_that_c_lets_pass_is_an_error_in_the_whole_tree(gcc: Toolchain, source: str, told: str) -> None:
    (error,) = [line for line in compiled(gcc, source).splitlines() if "error:" in line]
    assert told in error


def test_idiom_of_2000_is_not_spoken_of(gcc: Toolchain) -> None:
    packed = "struct byte { unsigned char one __attribute__((packed)); };"
    assert compiled(gcc, f"{packed} int g(char *); int f(unsigned char *c) {{ return g(c); }}") == ""


@pytest.mark.parametrize(("tool", "package"), [("gcc", "gcc"), ("make", "make"), ("ld", "binutils")])
def test_missing_tool_is_a_host_error_that_names_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tool: str, package: str
) -> None:
    monkeypatch.setenv("PATH", str(fake_tools(tmp_path / "bin", without=(tool,))))
    with pytest.raises(HostError, match=f"{tool} is not installed") as caught:
        toolchain("gcc")
    assert caught.value.hint == f"apt-get install {package}"


def test_missing_numbered_compiler_names_its_own_package() -> None:
    with pytest.raises(HostError, match="gcc-1 is not installed") as caught:
        toolchain("gcc-1")
    assert caught.value.hint == "apt-get install gcc-1"


def test_compiler_without_32_bits_is_a_host_error_that_shows_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(fake_tools(tmp_path / "bin", scripts={"gcc": NO_M32})))
    with pytest.raises(HostError, match="gcc cannot make 32-bit code") as caught:
        toolchain("gcc")
    assert caught.value.seen == ("cc1: sorry, no 32 bits",)


def test_clang_is_told_to_be_for_kernels_of_today(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = 'case "$*" in *-fno-toplevel-reorder*) echo "unknown argument" >&2; exit 1;; esac; echo clang version 14.0.6'
    monkeypatch.setenv("PATH", str(fake_tools(tmp_path / "bin", scripts={"clang-14": fake})))
    assert toolchain("clang-14", ()).identity.startswith("clang version 14.0.6; ")
    with pytest.raises(HostError, match="clang-14 cannot make 32-bit code") as caught:
        toolchain("clang-14")
    assert "clang is for kernels of today" in caught.value.hint


def test_compiler_that_is_too_old_is_a_host_error_that_says_which_ones_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(fake_tools(tmp_path / "bin", scripts={"gcc": 'echo "gcc (GCC) 4.8.5"'})))
    with pytest.raises(HostError, match=r"gcc is of version 4\.8\.5, which is too old") as caught:
        toolchain("gcc")
    assert "8 or newer; kvmd-lab is tried with gcc 11 to 16" in caught.value.hint


@pytest.mark.parametrize("script", ["exit 0", 'case "$*" in *--version*) exit 1;; esac'])
def test_compiler_that_does_not_tell_its_version_is_a_host_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    monkeypatch.setenv("PATH", str(fake_tools(tmp_path / "bin", scripts={"gcc": script})))
    with pytest.raises(HostError, match="does not tell its version"):
        toolchain("gcc")


def test_another_linker_is_another_toolchain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gcc: Toolchain) -> None:
    monkeypatch.setenv("PATH", str(fake_tools(tmp_path / "bin", scripts={"ld": "echo other ld"})))
    assert toolchain("gcc").identity == f"{gcc.identity.partition('; ')[0]}; other ld"


def test_compiler_in_a_folder_is_taken(gcc: Toolchain) -> None:
    path = shutil.which("gcc")
    assert path is not None
    assert toolchain(path).cc == path
    assert toolchain(path).flags == gcc.flags


def test_host_that_can_make_its_own_programs_passes(gcc: Toolchain) -> None:
    check_host_programs(gcc)


def test_host_without_c_headers_is_a_host_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gcc: Toolchain
) -> None:
    script = 'echo "<stdin>:1:10: fatal error: stdio.h: No such file" >&2; exit 1'
    monkeypatch.setenv("PATH", str(fake_tools(tmp_path / "bin", scripts={"gcc": script})))
    with pytest.raises(HostError, match="cannot make a program for this host") as caught:
        check_host_programs(gcc)
    assert caught.value.hint == "apt-get install libc6-dev"
