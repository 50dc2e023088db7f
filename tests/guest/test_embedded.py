"""The main job on a real kernel that every machine can have: the distribution's own, with kvmd in it, under lockdep."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lab.report import journals
from lab.report.view import view
from tests.runs import interrupted_run, two_runs

# Those that have passed there again and again; the others are run by hand.
STEADY = ("arguments", "boot", "kvmd_regions", "proc", "tour", "user_memory")


def test_steady_scenarios_pass_on_the_distributions_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Built and booted for real, with two processors; the kernel stays in the user's cache."""
    monkeypatch.setenv("KVMD_LAB_RUNS", str(tmp_path))
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    argv = [sys.executable, "-m", "lab", "run", *STEADY, "--kernel=6.1", "--cpus=2", "--seed=1", "--json"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=3000)
    assert done.returncode == 0, done.stdout + done.stderr
    outcome = json.loads(done.stdout)["outcome"]
    assert (outcome["failed"], outcome["errors"], outcome["skipped"]) == (0, 0, 0)
    assert outcome["passed"] >= len(STEADY)
    told = view(journals.load(Path(json.loads(done.stdout)["folder"])))
    assert (told.verdict, told.counts["passed"]) == ("passed", outcome["passed"])
    assert told.machines[0].startswith("2 processors, ")
    assert all(segment.samples[-1].guest for panel in told.panels for segment in panel.segments)


def test_interrupted_scenario_leaves_no_machine(tmp_path: Path) -> None:
    code, said, left = interrupted_run(tmp_path, "kvmd_regions", "--kernel=6.1")
    assert (code, left) == (130, [])
    assert "Traceback" not in said


def test_two_runs_at_once_do_not_meet(tmp_path: Path) -> None:
    one, other = two_runs(tmp_path, "boot", "--kernel=6.1")
    assert one["folder"] != other["folder"]
    assert one["outcome"] == other["outcome"]
