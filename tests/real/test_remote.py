"""The whole road on a real 2.3.99-pre3, with another host in between: built there, run there, judged here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from lab.source import Tree
from tests.guest.remote.conftest import client, server  # noqa: F401 - the same server
from tests.guest.remote.sshd import Sshd, kill


def start(tree: Tree, other: Sshd, *words: str) -> subprocess.Popen[str]:
    argv = [sys.executable, "-m", "lab", *words, f"--tree={tree.path}", f"--host={other.address}", "--json"]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture(autouse=True)
def _caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is in the cache here."""
    monkeypatch.setenv("KVMD_LAB_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("KVMD_LAB_CACHE", str(tmp_path / "cache"))


def test_connection_cut_in_the_middle_of_a_build_leaves_no_compiler(
    real_tree: Tree,
    client: Sshd,  # noqa: F811
) -> None:
    before = client.user.files()
    pause = threading.Event()
    place = f"{client.user.cache / 'work'}{os.sep}"
    with start(real_tree, client, "build") as build:
        while not any("/cc1 " in line and place in line for line in client.running().values()):
            assert build.poll() is None, build.communicate()
            pause.wait(0.02)
        kill(client.connections())
        _, said = build.communicate(timeout=60)
    assert build.returncode == 8
    assert "the connection to" in said
    assert (client.settled(), client.user.files()) == ([], before)


def test_kernel_is_built_and_every_scenario_passes_on_another_host(
    real_tree: Tree,
    client: Sshd,  # noqa: F811
) -> None:
    """The tree goes over, the kernel comes back."""
    before = client.user.files()
    with start(real_tree, client, "run") as run:
        out, said = run.communicate(timeout=1800)
    assert run.returncode == 0, out + said
    outcome = json.loads(out)["outcome"]
    assert (outcome["failed"], outcome["errors"], outcome["skipped"]) == (0, 0, 0)
    assert (client.settled(), client.user.files()) == ([], before)
    assert len(list((client.user.cache / "sent-trees").glob("*/linux"))) == 1
