"""A cell, or a build, in a process of its own: it can be given up at any time, and takes everything with it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab.cache import host_trouble
from lab.errors import LabError
from lab.process import die_with_parent

STEP = 0.05
TERM_SECONDS = 5.0
_MARK = "kvmd-lab: "


class Stopped(LabError):
    """Somebody wants everything to end."""


def lab(
    arguments: Sequence[str], *, log: Path, budget: float, stop: threading.Event, environment: Mapping[str, str]
) -> int | None:
    """Run the lab's own command line and return its exit code; None: it took longer than `budget` seconds.

    What it says goes to `log`. It is gone when this returns, all that it started is killed. Stopped: `stop` is set.
    """
    with host_trouble(f"writing {log}"):
        log.parent.mkdir(parents=True, exist_ok=True)
        sink = log.open("wb")
    with sink:
        child = subprocess.Popen(
            [sys.executable, "-m", "lab", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTEST_ADDOPTS": "", **environment},
            process_group=0,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - one system call
        )
        end = time.monotonic() + budget
        try:
            while child.poll() is None:
                if stop.wait(STEP):
                    raise Stopped("stopped")
                if time.monotonic() > end:
                    return None
            return child.returncode
        finally:
            _end(child)


def _end(child: subprocess.Popen[bytes]) -> None:
    """End a process that may be at work: first it may put its things away, QEMU and temporary files."""
    if child.poll() is None:
        child.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(TERM_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def complaint(log: Path) -> str:
    """Return the first line of the last error that the lab told of in a log; empty: it told of none."""
    with contextlib.suppress(OSError):
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        return next((line.removeprefix(_MARK) for line in reversed(lines) if line.startswith(_MARK)), "")
    return ""
