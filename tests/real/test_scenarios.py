"""The whole road on a real 2.3.99-pre3: built, booted, driven, judged."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lab import resources
from lab.source import Tree
from tests.runs import interrupted_run, two_runs


def lab(tree: Tree, *words: str) -> Any:
    """Call the command line with the tree, and return the JSON that it prints."""
    argv = [sys.executable, "-m", "lab", words[0], *words[1:], f"--tree={tree.path}", "--json"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=1200)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("cpus", [1, 2])
def test_every_scenario_passes(real_tree: Tree, cpus: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KVMD_LAB_RUNS", str(tmp_path))
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    outcome = lab(real_tree, "run", f"--cpus={cpus}", "--seeds=3")["outcome"]
    assert (outcome["failed"], outcome["errors"], outcome["skipped"]) == (0, 0, 0)
    assert outcome["passed"] >= 7


def test_scenarios_of_the_history_say_of_this_release_what_its_pages_say(
    real_tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KVMD_LAB_RUNS", str(tmp_path))
    history = Path(__file__).parents[2] / "docs" / "history"
    assert lab(real_tree, "run", str(history / "test_write_size.py"))["outcome"]["passed"] == 1
    with pytest.raises(AssertionError, match=r'"failed": 1'):
        lab(real_tree, "run", str(history / "test_pressure_time.py"))


@pytest.mark.parametrize("smp", [(), ("--cpus=2",)], ids=["up", "smp"])
def test_gcc_11_builds_a_kernel_that_passes_the_audit(real_tree: Tree, smp: tuple[str, ...]) -> None:
    if shutil.which("gcc-11") is None:
        pytest.skip("no gcc-11: apt-get install gcc-11")
    manifest = lab(real_tree, "build", "--cc=gcc-11", *smp)["manifest"]
    assert " 11." in manifest["compiler"]
    assert manifest["audit"]["findings"] == []
    assert manifest["audit"]["declared"] == manifest["audit"]["linked"]
    assert manifest["audit"]["linked"]["initcalls"] > 5


def test_boot_shows_the_console_with_the_threads_of_kvmd(real_tree: Tree) -> None:
    console = lab(real_tree, "boot")["console"]
    assert any("kvmd: 2 threads" in line for line in console)


def test_changed_header_of_kvmd_compiles_what_includes_it(
    real_tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab(real_tree, "build")
    for folder in ("kernel-patches", "kvmd"):
        shutil.copytree(resources.folder(folder), tmp_path / folder)
    header = tmp_path / "kvmd" / "kvmd_int.h"
    header.write_text(f"{header.read_text()}/* {tmp_path.name} */\n")
    monkeypatch.setenv("KVMD_LAB_LEDGER", str(tmp_path / "kernel-patches"))
    including = [path for path in (tmp_path / "kvmd").glob("*.c") if "kvmd_int.h" in path.read_text()]
    version = 1  # init/version.c, every time
    assert lab(real_tree, "build")["manifest"]["compiled"] == len(including) + version


def test_interrupted_scenario_leaves_no_machine(real_tree: Tree, tmp_path: Path) -> None:
    code, said, left = interrupted_run(tmp_path, "kvmd_regions", "--seeds=20", f"--tree={real_tree.path}")
    assert (code, left) == (130, [])
    assert "Traceback" not in said


def test_two_runs_at_once_do_not_meet(real_tree: Tree, tmp_path: Path) -> None:
    one, other = two_runs(tmp_path, "boot", f"--tree={real_tree.path}")
    assert one["folder"] != other["folder"]
    assert one["outcome"] == other["outcome"]
