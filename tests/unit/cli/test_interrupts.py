"""Ctrl-C and SIGTERM at each stage that lasts: the code says so, and nothing is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from lab.source import kernels
from tests.unit.build.toykernel import TOY_TREE, fragment
from tests.unit.cli.calls import Call
from tests.unit.source.toys import Mirror, Request, falls_silent

SAID = {130: "interrupted\n", 143: "terminated\n"}
HOW = pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])


def await_file(folder: Path, pattern: str, child: subprocess.Popen[str]) -> Path:
    """Wait until a file with contents is there; the child's end, or a minute, ends the wait."""
    pause = threading.Event()
    for _ in range(6000):
        for path in folder.glob(pattern):
            if path.stat().st_size:
                return path
        assert child.poll() is None, child.communicate()
        pause.wait(0.01)
    raise AssertionError(f"no {pattern} in {folder}")


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie that init has not reaped yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@HOW
def test_interrupted_build_ends_make_and_leaves_no_entry(number: int, code: int, call: Call, tmp_path: Path) -> None:
    with call.start("build", "--tree", TOY_TREE, "--fragment", fragment(tmp_path, "CONFIG_TOY_HANG=y")) as child:
        hanging = int(await_file(call.cache, "work/*/mm/hang.pid", child).read_text())
        os.kill(child.pid, number)
        _, said = child.communicate(timeout=30)
    assert child.returncode == code
    assert "Traceback" not in said
    assert said.count(SAID[code]) == 1
    assert not alive(hanging)
    assert [path for path in (call.cache / "kernels").iterdir() if path.is_dir()] == []


@HOW
def test_interrupted_image_build_ends_the_compiler_and_leaves_no_entry(
    number: int, code: int, call: Call, tmp_path: Path
) -> None:
    compiler = tmp_path / "compiler"
    compiler.write_text(
        f'#!/bin/sh\ncase "$*" in\n*-version*) exec gcc "$@" ;;\nesac\necho $$ >{tmp_path}/hang.pid\nexec sleep 600\n'
    )
    compiler.chmod(0o755)
    call.cc = compiler
    with call.start("image") as child:
        hanging = int(await_file(tmp_path, "hang.pid", child).read_text())
        os.kill(child.pid, number)
        _, said = child.communicate(timeout=30)
    assert child.returncode == code
    assert "Traceback" not in said
    assert said.count(SAID[code]) == 1
    assert not alive(hanging)
    assert not [path for path in call.cache.glob("image/*") if path.is_dir()]


@HOW
def test_interrupted_download_leaves_nothing_under_its_final_name(number: int, code: int, call: Call) -> None:
    asked = threading.Event()

    def stall(request: Request, data: bytes) -> None:
        asked.set()
        falls_silent(request, data)

    with Mirror() as mirror:
        mirror.files = {f"/{path}": bytes(1000) for spec in kernels() for path in spec.files}
        mirror.manners = [stall]
        call.mirrors = mirror.url
        with call.start("fetch", "--kernel", "2.3.99-pre3") as child:
            assert asked.wait(30)
            os.kill(child.pid, number)
            _, said = child.communicate(timeout=30)
    assert child.returncode == code
    assert "Traceback" not in said
    assert said.count(SAID[code]) == 1
    tarballs = [path.name for path in call.cache.rglob("linux-*") if path.is_file()]
    assert [name for name in tarballs if ".part" not in name] == []


@HOW
def test_interrupted_run_ends_at_once_and_calls_no_scenario_failed(
    number: int, code: int, call: Call, tmp_path: Path
) -> None:
    own = tmp_path / "test_own.py"
    own.write_text(
        "import pathlib, threading\n"
        f"def test_first(): pathlib.Path({str(tmp_path)!r}, 'hang.pid').write_text('1'); threading.Event().wait(600)\n"
        f"def test_second(): pathlib.Path({str(tmp_path)!r}, 'second').touch()\n"
    )
    with call.start("run", own, "--tree", TOY_TREE, "--json") as child:
        await_file(tmp_path, "hang.pid", child)
        os.kill(child.pid, number)
        out, said = child.communicate(timeout=30)
    assert child.returncode == code, said
    assert not (tmp_path / "second").exists()
    assert out == ""
