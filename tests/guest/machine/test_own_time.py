"""A guest that gets a small share of a processor: its deadlines wait for it, and not for ever."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab.errors import AgentError
from lab.machine.deadline import Books, books
from lab.machine.machine import Machine, Setup

LOOPS = 5


@contextmanager
def crowded(pid: int) -> Iterator[None]:
    """Let a process share one processor with busy loops of its own session: Linux shares among sessions first."""
    cpu = {max(os.sched_getaffinity(0))}
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), cpu)
    words = ["taskset", "-c", str(*cpu), "sh", "-c", "while :; do :; done"]
    loops = [subprocess.Popen(words) for _ in range(LOOPS)]
    try:
        end, pause = time.monotonic() + 60.0, threading.Event()
        while not all(ran({}, books(loop.pid)) > 0.02 for loop in loops):
            assert time.monotonic() < end
            pause.wait(0.02)
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def ran(before: Books, after: Books) -> float:
    """The seconds that the busiest thread ran."""
    return max(times[0] - before.get(thread, (0, 0))[0] for thread, times in after.items()) / 1e9


@pytest.fixture
def busy(setup: Callable[..., Setup]) -> Iterator[tuple[Machine, float]]:
    """A guest that computes before it answers, and the seconds that it needs."""
    if not Path("/proc/self/schedstat").exists():
        pytest.skip("this host's kernel keeps no books (CONFIG_SCHED_INFO)")
    with Machine.boot(**setup("busy:2")) as machine:
        before = books(machine.pid)
        machine.agent.ping(deadline=60.0)
        yield machine, ran(before, books(machine.pid))


def test_reply_that_is_late_only_for_lack_of_a_processor_arrives(busy: tuple[Machine, float]) -> None:
    machine, needs = busy
    with crowded(machine.pid):
        begin = time.monotonic()
        machine.agent.ping(deadline=3 * needs)
        assert time.monotonic() - begin > 3 * needs  # by the host's clock it is too late


def test_guest_that_computes_for_too_long_ends_by_its_own_time(busy: tuple[Machine, float]) -> None:
    machine, needs = busy
    with crowded(machine.pid):
        begin = time.monotonic()
        with pytest.raises(AgentError, match=r"no reply within [\d.]+ s of its own \(\d"):
            machine.agent.ping(deadline=0.5 * needs)  # what it needs differs by a fifth from one time to the next
        assert needs < time.monotonic() - begin < 60.0
