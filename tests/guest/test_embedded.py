"""The main job on a real kernel that every machine can have: the distribution's own, with kvmd in it, under lockdep."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lab.scenario.runner import names


def test_every_scenario_passes_on_the_distributions_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Built and booted for real, with two processors; the kernel stays in the user's cache."""
    monkeypatch.setenv("KVMD_LAB_RUNS", str(tmp_path))
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    argv = [sys.executable, "-m", "lab", "run", "--kernel=6.1", "--cpus=2", "--seed=1", "--json"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=3000)
    assert done.returncode == 0, done.stdout + done.stderr
    outcome = json.loads(done.stdout)["outcome"]
    assert (outcome["failed"], outcome["errors"]) == (0, 0)
    assert outcome["passed"] + outcome["skipped"] >= len(names())
    assert outcome["passed"] > 0
