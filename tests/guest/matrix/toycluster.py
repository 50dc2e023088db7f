"""A matrix of the toy guest on a cluster: its tree builds in a second, and boots in less."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from tests.runs import running
from tests.unit.build.toykernel import TOY_LEDGER, TOY_TREE, edit

SECONDS = 60.0
KERNEL = "2.3.99-pre3"
LISTEN = "0A"
LOOPBACK = "0100007F"
# Passes, but for two seeds: 3 fails, and 2 names the process that runs it and waits, the first time that it is tried.
SCENARIO = """
    import os, threading
    from pathlib import Path

    HELD = Path(os.environ["TOY_HELD"])

    def test_toy(request, workbench, machine_spec):
        seed = int(request.config.getoption("--seed"))
        machine = workbench.machine(machine_spec)
        machine.agent.ping()
        if seed == 2 and not HELD.exists():
            HELD.with_suffix(".new").write_text(f"{os.getppid()} {machine.pid}")
            HELD.with_suffix(".new").rename(HELD)
            threading.Event().wait(600)
        assert seed != 3, "seed 3 fails"
"""


def toy_tree(folder: Path, toy_kernel: Path) -> Path:
    """A tree whose bzImage is the toy guest."""
    tree = folder / "trees" / "linux"
    shutil.copytree(TOY_TREE, tree)
    boot = tree / "arch" / "i386" / "boot"
    shutil.copyfile(toy_kernel, boot / "toyguest")
    edit(boot / "Makefile", "cat bsetup compressed/bvmlinux > bzImage", "cp toyguest bzImage")
    return tree.parent


def until(what: Callable[[], object], why: str) -> None:
    """Wait until something is so."""
    end, pause = time.monotonic() + SECONDS, threading.Event()
    while not what():
        assert time.monotonic() < end, why
        pause.wait(0.02)


class Toys:
    """A folder with a tree, a scenario, and caches; `environment` is what a process gets that works there."""

    def __init__(self, folder: Path, trees: Path) -> None:
        self.folder = folder
        self.scenario = folder / "test_toy.py"
        self.scenario.write_text("\n".join(line[4:] for line in SCENARIO.splitlines()))
        self.held = folder / "held"
        self.trees = trees
        (folder / "tmp").mkdir()

    def environment(self, cache: str = "cache", *, trees: bool = True) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("KVMD_LAB_")}
        own = {
            "KVMD_LAB_CACHE": str(self.folder / cache),
            "KVMD_LAB_RUNS": str(self.folder / "runs"),
            "KVMD_LAB_LEDGER": str(TOY_LEDGER / "kernel-patches"),
            "KVMD_LAB_MIRRORS": "http://127.0.0.1:9",
            "TOY_HELD": str(self.held),
            "TMPDIR": str(self.folder / "tmp"),
        }
        return kept | own | ({"KVMD_LAB_TREES": str(self.trees)} if trees else {})

    @contextmanager
    def matrix(self, *words: str, seeds: int = 4) -> Iterator[subprocess.Popen[str]]:
        """Start a matrix of one scenario with some seeds."""
        argv = [sys.executable, "-m", "lab", "matrix", str(self.scenario), f"--kernel={KERNEL}", f"--seeds={seeds}"]
        with subprocess.Popen(
            [*argv, "--json", *words],
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
        ) as started:
            try:
                yield started
            finally:
                started.kill()

    def results(self, *words: str) -> list[tuple[int, str, str]]:
        """Run a matrix to its end; return seed, outcome and reason of each cell."""
        with self.matrix(*words) as matrix:
            out, err = matrix.communicate(timeout=SECONDS)
        assert matrix.returncode == 1, err  # seed 3
        return told(json.loads(out)["results"])

    def await_held(self) -> tuple[int, int]:
        """Wait until somebody is in the middle of a cell: his worker's process, and his QEMU's."""
        until(self.held.exists, "nobody came to the cell that waits")
        worker, qemu = self.held.read_text().split()
        return int(worker), int(qemu)

    def left(self) -> list[str]:
        """The processes that are left of it, and the temporary files."""
        return [*running(str(self.folder)), *map(str, (self.folder / "tmp").rglob("*"))]


def listening(word: str) -> set[str]:
    """The addresses, in /proc's way, on which processes with a word in their environment wait for connections."""
    sockets = set()
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if word.encode() in (path / "environ").read_bytes():
                sockets |= {os.readlink(each) for each in (path / "fd").iterdir()}  # noqa: PTH115 - no path at all
    rows = [row.split() for table in ("tcp", "tcp6") for row in Path("/proc/net", table).read_text().splitlines()[1:]]
    return {row[1].partition(":")[0] for row in rows if row[3] == LISTEN and f"socket:[{row[9]}]" in sockets}


def told(results: list[dict[str, object]]) -> list[tuple[int, str, str]]:
    return sorted((int(one["cell"]["seed"]), str(one["outcome"]), str(one["reason"])) for one in results)  # type: ignore[index]


def lines(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


class Existing:
    """A scheduler and workers, processes of their own; each worker has a cache of its own, and no trees."""

    def __init__(self, toys: Toys, workers: int) -> None:
        self.toys = toys
        self._file = toys.folder / "scheduler.json"
        self._processes: list[subprocess.Popen[bytes]] = []
        host = ["--host=127.0.0.1", f"--scheduler-file={self._file}"]
        self._start("scheduler", *host, "--port=0", "--no-dashboard", "--dashboard-address=127.0.0.1:0")
        until(self._file.exists, "no scheduler")
        self.scheduler = self._processes[0]
        self.address = json.loads(self._file.read_text())["address"]
        self.workers = [toys.folder / f"cache-{number}" for number in range(workers)]
        for cache in self.workers:
            more = ["--nthreads=1", "--no-dashboard", f"--local-directory={toys.folder / 'tmp'}", "--memory-limit=0"]
            self._start("worker", *host, *more, cache=cache.name)

    def _start(self, *words: str, cache: str = "cache") -> None:
        environment = self.toys.environment(cache, trees=False)
        log = (self.toys.folder / f"{words[0]}-{len(self._processes)}.log").open("wb")
        self._processes.append(
            subprocess.Popen([sys.executable, "-m", "dask", *words], env=environment, stdout=log, stderr=log)
        )
        log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._processes):
            process.terminate()
        for process in reversed(self._processes):
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=20)
            process.kill()
            process.wait()
