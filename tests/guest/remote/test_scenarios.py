"""Scenarios through SSH, on the distribution's own kernel; the other side has it built already.

The real tier runs all of them that way, on a kernel of 2000.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lab.source import packaged
from tests.guest.remote.conftest import copy_to
from tests.guest.remote.sshd import Sshd

# What has most to do with the host: the disk's faults, the guest's memory and its swap disk read from outside, new
# processes after a restore, several machines.
CHOSEN = ("boot", "io_errors", "kvmd_regions", "introspection", "slow_disk", "tour")


@pytest.fixture(scope="session")
def kernel() -> Path:
    """The kernel's folder in this user's cache, as the other tests of this tier leave it there."""
    return Path(lab("build", f"--kernel={packaged.current()}", "--cpus=2")["kernel"]["bzimage"]).parent


def lab(*words: str, **environment: str) -> Any:
    argv = [sys.executable, "-m", "lab", *words, "--json"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=3000, env=os.environ | environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_scenarios_pass_on_another_host(kernel: Path, client: Sshd, tmp_path: Path) -> None:
    copy_to(client, kernel, "kernels")
    before = client.user.files()
    where = {"KVMD_LAB_RUNS": str(tmp_path), "KVMD_LAB_CACHE": str(kernel.parents[1])}
    options = [f"--kernel={packaged.current()}", "--cpus=2", "--seed=1", "--workers=2", f"--host={client.address}"]
    outcome = lab("run", *CHOSEN, *options, **where)["outcome"]
    assert (outcome["failed"], outcome["errors"]) == (0, 0)
    assert outcome["passed"] > len(CHOSEN) > outcome["skipped"]
    assert (client.settled(), client.user.files()) == ([], before)
