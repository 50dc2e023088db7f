"""The doctor on hosts that lack something, or have it in the wrong version."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import msgspec
import pytest

from lab.cli import doctor
from lab.cli.doctor import ToolCheck, examine, remedies, subject_in
from lab.settings import Settings
from lab.source import packaged
from lab.source.choice import Choice
from lab.tools import Tool, headers, tools

SAID = {"gcc": "gcc (Debian 12.2.0-14) 12.2.0", "qemu-system-i386": "QEMU emulator version 7.2.22"}


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for PATH in which every program tells a version, and nothing else is found."""
    for tool in tools():
        say(tmp_path, tool.program, SAID.get(tool.program, f"{tool.program} {(tool.all_tried or ['1.0'])[0]}"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(doctor, "find_tool", lambda name: shutil.which(name, path=str(tmp_path)))
    return tmp_path


def say(host: Path, program: str, words: str) -> None:
    path = host / program
    path.write_text(f"#!/bin/sh\necho '{words}'\n", encoding="utf-8")
    path.chmod(0o755)


def look(tmp_path: Path) -> list[ToolCheck]:
    settings = Settings(cache=tmp_path / "cache", runs=tmp_path / "runs")
    return [check for check in examine(settings, embedded=False, browser=True) if check.tool != "stdio.h"]


def test_host_with_everything_is_fine(host: Path) -> None:
    checks = look(host)
    assert remedies(checks) == []
    assert [check.tool for check in checks if check.tried is False and check.tool != "python3"] == []


@pytest.mark.parametrize("tool", tools("always", "tests"), ids=lambda tool: tool.program)
def test_each_missing_program_names_its_package(host: Path, tool: Tool) -> None:
    (host / tool.program).unlink()
    checks = look(host)
    assert [check.tool for check in checks if not check.found] == [tool.program]
    assert remedies(checks) == [
        f"install what is missing: apt-get install --no-install-recommends {tool.package}",
    ]


def test_host_without_apt_is_told_programs(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "has_apt", lambda: False)
    for program in ("mke2fs", "debugfs", "qemu-system-i386"):
        (host / program).unlink()
    first, programs, packages = remedies(look(host))
    assert "no apt-get" in first
    assert programs.split() == ["mke2fs,", "debugfs,", "qemu-system-i386"]
    assert packages == "Debian has them in: e2fsprogs qemu-system-x86"


@pytest.mark.parametrize(
    ("program", "said", "wanted"),
    [
        ("qemu-system-i386", "QEMU emulator version 6.2.0", "qemu-system-i386 6.2.0 is too old; 7.2 or newer"),
        ("gcc", "gcc (GCC) 4.8.5 20150623 (Red Hat 4.8.5-44)", "gcc 4.8.5 is too old; 8 or newer"),
    ],
)
def test_too_old_a_program_is_said_so_and_not_to_be_installed(host: Path, program: str, said: str, wanted: str) -> None:
    say(host, program, said)
    checks = look(host)
    (remedy,) = remedies(checks)
    assert remedy.startswith(wanted)
    assert [doctor.tell(check).split()[:3] for check in checks if check.too_old] == [["TOO", "OLD", program]]


def test_version_that_nobody_tried_is_fine_but_said_so(host: Path) -> None:
    say(host, "gcc", "gcc (GCC) 13.9.9")
    (check,) = [check for check in look(host) if check.tool == "gcc"]
    assert (check.found, check.version, check.tried) == (True, "13.9.9", False)
    assert "not tried" in doctor.tell(check)


def test_program_that_cannot_be_started_is_missing(host: Path) -> None:
    (host / "mke2fs").write_bytes(b"\x7fELF no program")
    (check,) = [check for check in look(host) if check.tool == "mke2fs"]
    assert not check.found
    assert "cannot be started" in check.detail


def test_names_of_packages_cost_no_start_of_a_program(host: Path) -> None:
    say(host, "mke2fs", "'; touch started '")
    settings = Settings(cache=host / "cache", runs=host / "runs")
    checks = examine(settings, embedded=False, versions=False)
    assert {check.version for check in checks} == {""}
    assert [check.tool for check in checks if not check.found] == []


def test_compiler_without_the_c_library_s_headers_names_their_package(
    host: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "INCLUDES", host / "nowhere")
    say(host, "gcc", "'; exit 1; '")
    settings = Settings(cache=host / "cache", runs=host / "runs")
    checks = examine(settings, embedded=False, versions=False)
    assert [(check.tool, check.package) for check in checks if not check.found] == [("stdio.h", "libc6-dev")]
    assert [header.package for header in headers()] == ["libc6-dev"]
    say(host, "gcc", "")  # one that finds them somewhere else
    assert [check.tool for check in examine(settings, embedded=False, versions=False) if not check.found] == []


def test_json_tells_versions(host: Path) -> None:

    rows = {row["tool"]: row for row in json.loads(msgspec.json.encode(look(host)))}
    assert rows["qemu-system-i386"]["version"] == "7.2.22"
    assert rows["qemu-system-i386"]["tried"] is True


@pytest.fixture
def no_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host on which no package brought a kernel's source, and no release server answers."""
    monkeypatch.setattr(packaged, "FOLDER", tmp_path / "none")
    monkeypatch.setenv("KVMD_LAB_MIRRORS", "http://127.0.0.1:9")
    monkeypatch.delenv("KVMD_LAB_TREES", raising=False)


@pytest.mark.usefixtures("no_sources")
@pytest.mark.parametrize(
    ("words", "package", "parser"),
    [
        ("demo", "linux-source", True),
        ("run --kernel 6.12 --samples", "linux-source-6.12", True),
        ("build --kernel 6.6 --cpus 2", "linux-source-6.6", True),
        ("run --tree {today}", "", True),
        ("run boot --tree={today}", "", True),
        ("demo --tree {old}", "", False),
        ("run 6.12", "linux-source", True),  # a scenario, if anything
    ],
)
def test_command_needs_the_source_that_it_is_about_and_no_other(
    host: Path, words: str, package: str, parser: bool
) -> None:
    for name, lines in (("today", "VERSION = 6\nPATCHLEVEL = 1\n"), ("old", "VERSION = 2\nPATCHLEVEL = 4\n")):
        (host / name).mkdir()
        (host / name / "Makefile").write_text(lines)
    given = words.format(today=host / "today", old=host / "old").split()
    checks = examine(Settings.from_environment(), versions=False, subject=subject_in(given))
    assert [check.package for check in checks if check.package.startswith("linux-source")] == [package] * bool(package)
    assert any(check.tool == "flex" for check in checks) == parser


@pytest.mark.usefixtures("no_sources")
@pytest.mark.parametrize(("there", "asked"), [(True, 0), (False, 1)])
def test_nobody_is_asked_which_kernel_it_will_be_where_all_is_there_for_each(
    host: Path, monkeypatch: pytest.MonkeyPatch, there: bool, asked: int
) -> None:
    times: list[Settings] = []

    def choose(settings: Settings) -> Choice:
        times.append(settings)
        return Choice("6.12", "a test wants it", embedded=True)

    monkeypatch.setattr(doctor, "choose", choose)
    monkeypatch.setattr(packaged, "FOLDER", host)
    if there:
        (host / "linux-source-6.12.tar.xz").write_bytes(b"")
    missing = [check.package for check in examine(versions=False) if not check.found]
    assert [one for one in missing if one.startswith("linux")] == ([] if there else ["linux-source"])
    assert len(times) == asked
