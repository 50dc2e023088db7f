"""The matrix on a cluster of two workers: as on one machine, whoever dies, and nothing is left of it."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import dask
import distributed
import pytest

from lab.errors import HostError
from lab.matrix.connect import LOCAL as LOCAL_CLUSTER
from lab.matrix.connect import connected
from tests.guest.matrix.toycluster import LOOPBACK, Existing, Toys, lines, listening, told, toy_tree
from tests.runs import gone, released
from tests.unit.build.toykernel import edit

LOCAL = ("--dask=local", "--workers=2")
NEWER = """
def test_toy(workbench, machine_spec):
    workbench.machine(machine_spec).agent.ping()
    assert str(workbench.version) == "2.3.99-pre3"
"""
ALL = [(1, "passed", ""), (2, "passed", ""), (3, "failed", "AssertionError: seed 3 fails"), (4, "passed", "")]


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory, toy_kernel: Path) -> Path:
    return toy_tree(tmp_path_factory.mktemp("toy"), toy_kernel)


@pytest.fixture
def toys(tmp_path: Path, trees: Path) -> Toys:
    return Toys(tmp_path, trees)


def runs(folder: Path) -> list[Path]:
    """The folders of a matrix's cells, and what is in their runs, but for when that was."""
    cells = folder / "cells"
    return sorted(
        Path(*(part if not part.endswith("-run") else "run" for part in path.relative_to(cells).parts))
        for path in cells.rglob("*")
    )


def test_results_are_those_of_one_machine(toys: Toys) -> None:
    toys.held.touch()
    assert toys.results("--workers=2") == ALL
    (alone,) = (toys.folder / "runs").iterdir()
    assert toys.results(*LOCAL) == ALL
    (together,) = set((toys.folder / "runs").iterdir()) - {alone}
    assert runs(together) == runs(alone)
    assert not [path for path in together.rglob("*.json*") if b"--built" in path.read_bytes()], "said to repeat it"
    assert [len(lines(folder)) for folder in (alone, together)] == [4, 4]
    assert all((together / str(one["run"]) / "report.html").is_file() for one in lines(together))
    assert toys.left() == []


def test_workers_of_a_local_cluster_do_not_profile_themselves() -> None:
    with connected(LOCAL_CLUSTER, 1) as client:
        asked = client.run(dask.config.get, "distributed.worker.profile.enabled")
    assert list(asked.values()) == [False]


def test_local_cluster_that_does_not_start_is_trouble_of_this_host(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(**_: object) -> None:
        raise RuntimeError("Nanny failed to start.") from OSError("too many open files")

    monkeypatch.setattr(distributed, "LocalCluster", start)
    with pytest.raises(HostError) as caught, connected(LOCAL_CLUSTER, 2):
        pass
    assert "2 workers" in caught.value.what
    assert caught.value.seen == ("too many open files",)


def test_worker_that_is_killed_in_the_middle_of_a_cell_loses_no_result(toys: Toys) -> None:
    with toys.matrix(*LOCAL) as matrix:
        worker, qemu = toys.await_held()
        watch = os.pidfd_open(qemu)
        assert listening(str(toys.folder)) == {LOOPBACK}
        os.kill(worker, signal.SIGKILL)
        out, err = matrix.communicate(timeout=60)
        assert select.select([watch], [], [], 0.0)[0], "its QEMU outlived it"
        os.close(watch)
    assert matrix.returncode == 1, err
    assert told(json.loads(out)["results"]) == ALL
    assert told(lines(Path(json.loads(out)["folder"]))) == ALL, "each of them once"
    assert toys.left() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_client_that_is_stopped_takes_its_cluster_along(toys: Toys, number: signal.Signals) -> None:
    with toys.matrix(*LOCAL) as matrix:
        toys.await_held()
        os.killpg(matrix.pid, number) if number is signal.SIGINT else matrix.send_signal(number)  # as a terminal does
        _, err = matrix.communicate(timeout=60)
    assert matrix.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}[number], err
    assert "Traceback" not in err
    if number is signal.SIGKILL:  # its workers see that by themselves; nobody can put its files away
        assert gone(str(toys.folder), seconds=30.0), toys.left()
    else:
        assert toys.left() == []


def test_bisection_on_a_cluster_finds_the_release(toys: Toys, trees: Path, tmp_path: Path) -> None:
    toys.trees = tmp_path / "trees"
    for name in ("pre2", "pre3"):
        shutil.copytree(trees / "linux", toys.trees / name)
    edit(toys.trees / "pre2" / "Makefile", "-pre3", "-pre2")
    toys.scenario.write_text(NEWER)
    argv = [sys.executable, "-m", "lab", "bisect", str(toys.scenario), "--kernel=2.3.99-pre2,2.3.99-pre3"]
    argv += ["--good=2.3.99-pre3", "--bad=2.3.99-pre2", "--seeds=3", "--json", *LOCAL]
    found = subprocess.run(argv, env=toys.environment(), capture_output=True, text=True, check=False, timeout=60)
    assert found.returncode == 0, found.stderr
    assert "fails up to 2.3.99-pre2 and passes from 2.3.99-pre3 on" in json.loads(found.stdout)["says"]
    assert toys.left() == []


def test_tree_and_kernel_travel_to_workers_that_have_neither(toys: Toys) -> None:
    toys.held.touch()
    with Existing(toys, workers=2) as cluster:
        assert toys.results(f"--dask={cluster.address}") == ALL
        has: Callable[[str], list[int]] = lambda what: [  # noqa: E731
            len([path for path in (cache / what).glob("[!.]*") if path.is_dir()]) for cache in cluster.workers
        ]
        assert has("kernels") == [1, 1]
        assert sorted(has("work")) == [0, 1], "built once"
        assert sorted(has("shipped")) == [0, 1], "one of them had to have the tree"
        assert not (toys.folder / "cache" / "work").exists()
        made = [path.read_bytes() for path in toys.folder.glob("cache*/kernels/*/manifest.json")]
        assert len(made) == 3
        assert len(set(made)) == 1


def test_interrupted_matrix_leaves_a_cluster_that_others_started_with_nothing_to_do(toys: Toys) -> None:
    with Existing(toys, workers=2) as cluster:
        with toys.matrix(f"--dask={cluster.address}") as matrix:
            worker, qemu = toys.await_held()
            matrix.send_signal(signal.SIGINT)
            _, err = matrix.communicate(timeout=60)
        assert matrix.returncode == 130, err
        assert released(qemu)
        assert Path(f"/proc/{worker}").exists()
        assert not list((toys.folder / "tmp").rglob("kvmd-lab-*"))
        (folder,) = (toys.folder / "runs").iterdir()
        with toys.matrix(f"--dask={cluster.address}", seeds=1) as fresh:
            out, err = fresh.communicate(timeout=60)
        assert fresh.returncode == 0, err
        assert folder != Path(json.loads(out)["folder"])


def test_scheduler_that_goes_away_is_told_and_leaves_nobody(toys: Toys) -> None:
    with Existing(toys, workers=1) as cluster:
        with toys.matrix(f"--dask={cluster.address}") as matrix:
            _, qemu = toys.await_held()
            watch = os.pidfd_open(qemu)
            cluster.scheduler.kill()
            _, err = matrix.communicate(timeout=60)
        assert matrix.returncode == 8, err
        assert "--resume" in err
        assert select.select([watch], [], [], 30.0)[0], "its QEMU is still there"
        os.close(watch)


def test_worker_with_another_ledger_is_refused(toys: Toys) -> None:
    with Existing(toys, workers=1) as cluster:
        environment = toys.environment()
        del environment["KVMD_LAB_LEDGER"]
        toys.environment = lambda *_, **__: environment  # type: ignore[method-assign]
        with toys.matrix(f"--dask={cluster.address}") as matrix:
            _, err = matrix.communicate(timeout=60)
        assert matrix.returncode == 2, err
        assert "has another kvmd-lab, or another ledger" in err
