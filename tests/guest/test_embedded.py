"""The main job on a real kernel that every machine can have: the distribution's own, with kvmd in it, under lockdep."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lab.report import journals
from lab.report.view import view
from lab.source import packaged
from tests.runs import gone, interrupted_run, two_runs


def test_all_scenarios_pass_on_the_distributions_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Built and booted for real, with two processors; the kernel stays in the user's cache."""
    monkeypatch.setenv("KVMD_LAB_RUNS", str(tmp_path))
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    argv = [sys.executable, "-m", "lab", "run", f"--kernel={packaged.current()}", "--cpus=2", "--seed=1", "--json"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=3000)
    assert done.returncode == 0, done.stdout + done.stderr
    outcome = json.loads(done.stdout)["outcome"]
    assert (outcome["failed"], outcome["errors"]) == (0, 0)
    assert outcome["passed"] > 10 * outcome["skipped"], "a few make no sense on a kernel of today"
    told = view(journals.load(Path(json.loads(done.stdout)["folder"])))
    assert (told.verdict, told.counts["passed"]) == ("passed", outcome["passed"])
    assert told.machines[0].startswith("2 processors, ")
    assert all(segment.samples[-1].guest for panel in told.panels for segment in panel.segments)


def test_demo_passes_on_a_kernel_without_checks_and_leaves_its_page(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "lab", "demo", f"--kernel={packaged.current()}"]
    environment = os.environ | {"KVMD_LAB_RUNS": str(tmp_path), "PYTEST_ADDOPTS": ""}
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=3000, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    (page,) = tmp_path.glob("*/report.html")
    assert f"its page, for a browser: {page}" in done.stdout


def test_interrupted_scenario_leaves_no_machine(tmp_path: Path) -> None:
    code, said, left = interrupted_run(tmp_path, "kvmd_regions", f"--kernel={packaged.current()}")
    assert (code, left) == (130, [])
    assert "Traceback" not in said


def test_two_runs_at_once_do_not_meet(tmp_path: Path) -> None:
    one, other = two_runs(tmp_path, "boot", f"--kernel={packaged.current()}")
    assert one["folder"] != other["folder"]
    assert one["outcome"] == other["outcome"]


def test_matrix_that_is_stopped_and_resumed_loses_no_cell(tmp_path: Path) -> None:
    environment = os.environ | {"KVMD_LAB_RUNS": str(tmp_path)}
    matrix = [sys.executable, "-m", "lab", "matrix"]
    begin = [*matrix, "boot", "tour", "user_memory", f"--kernel={packaged.current()}", "--workers=1", "--timeout=300"]
    with subprocess.Popen(begin, env=environment, stderr=subprocess.PIPE, text=True) as stopped:
        assert stopped.stderr is not None
        for line in stopped.stderr:
            if line.startswith("[1/3]"):
                stopped.send_signal(signal.SIGINT)
        assert stopped.wait(timeout=60) == 130
    (folder,) = tmp_path.iterdir()
    lines = (folder / "results.jsonl").read_text().splitlines()
    assert len(lines) in (1, 2)  # the second one may end just then
    assert gone(str(folder))

    done = subprocess.run(
        [*matrix, "--resume", str(folder), "--json"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)["results"]
    assert [(one["cell"]["scenario"], one["outcome"]) for one in results] == [
        ("boot", "passed"),
        ("tour", "passed"),
        ("user_memory", "passed"),
    ]
    assert (folder / "results.jsonl").read_text().splitlines()[: len(lines)] == lines
    assert all((folder / one["run"] / "report.html").is_file() for one in results)
    assert "user_memory" in (folder / "grid.html").read_text()
