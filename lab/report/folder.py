"""The folder of a run."""

from __future__ import annotations

import time
from pathlib import Path

from lab.host_trouble import host_trouble


def new_run(runs: Path, name: str = "run") -> Path:
    """Make a new folder below `runs`, named after the time; two runs in the same second get two folders."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    with host_trouble(f"making a folder for the run below {runs}"):
        runs.mkdir(parents=True, exist_ok=True)
        for number in range(1, 1000):
            folder = runs / (f"{stamp}-{name}" if number == 1 else f"{stamp}-{name}-{number}")
            try:
                folder.mkdir()
            except FileExistsError:
                continue
            return folder
    raise FileExistsError(runs)
