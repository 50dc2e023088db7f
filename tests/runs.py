"""Runs of scenarios through the command line, interrupted and two at once; for tiers that have a kernel."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from lab.journal import read

SECONDS = 600


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start `kvmd-lab run` with its runs in `folder`."""
    environment = os.environ | {"KVMD_LAB_RUNS": str(folder), "PYTEST_ADDOPTS": ""}
    argv = [sys.executable, "-m", "lab", "run", "--json", *arguments]
    return subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def children(pid: int) -> list[int]:
    """The processes that a process has started, in any of its threads, and that are still there."""
    lists = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    return [int(word) for text in lists for word in text.split()]


def running(word: str) -> list[str]:
    """The command lines of processes that have a word in their environment, such as the name of a test's folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if word.encode() in (path / "environ").read_bytes():
                found.append((path / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found


def gone(word: str, seconds: float = 10.0) -> bool:
    """Wait until there is no such process any more: who is killed may take a moment to end."""
    end, pause = time.monotonic() + seconds, threading.Event()
    while running(word) and time.monotonic() < end:
        pause.wait(0.01)
    return not running(word)


def released(pid: int, seconds: float = 10.0) -> bool:
    """Wait until a process has ended and its parent has let it go, which the lab does a little later."""
    end, pause = time.monotonic() + seconds, threading.Event()
    while Path(f"/proc/{pid}").exists() and time.monotonic() < end:
        pause.wait(0.01)
    return not Path(f"/proc/{pid}").exists()


def await_scenario(folder: Path, run: subprocess.Popen[str]) -> None:
    """Wait until a scenario has its machine: the first sample is in the journal. The end of the run ends the wait."""
    pause = threading.Event()
    while run.poll() is None:
        for journal in folder.glob("*/journal.jsonl"):
            if any(event["kind"] == "sample" for event in read(journal)):
                return
        pause.wait(0.05)
    raise AssertionError(run.communicate())


def interrupted_run(folder: Path, *arguments: str) -> tuple[int, str, list[int]]:
    """Interrupt a run in the middle of a scenario: its exit code, what it said, and which of its children are left."""
    with start(folder, *arguments) as run:
        try:
            await_scenario(folder, run)
            machines = children(run.pid)
            assert machines
            run.send_signal(signal.SIGINT)
            _, said = run.communicate(timeout=60)
        finally:
            run.kill()
    return run.returncode, said, [pid for pid in machines if not released(pid)]


def two_runs(folder: Path, *arguments: str) -> list[dict[str, object]]:
    """Run the same twice at the same time, and return both outcomes."""
    runs = [start(folder, *arguments) for _ in range(2)]
    try:
        said = [run.communicate(timeout=SECONDS) for run in runs]
    finally:
        for run in runs:
            run.kill()
            run.wait()
    assert [run.returncode for run in runs] == [0, 0], said
    return [json.loads(out) for out, _ in said]
