"""However a machine or its lab ends: no QEMU is left, and no file."""

from __future__ import annotations

import asyncio
import gc
import os
import select
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from lab.errors import MachineError
from lab.machine import qemu
from lab.machine.loop import loop
from lab.machine.machine import Machine, Setup
from lab.machine.protocol import Op
from lab.machine.qemu import LocalQemu
from lab.machine.spec import MachineState
from tests.runs import children, released

SECONDS = 20.0

PROGRAM = """
    import sys, threading
    from pathlib import Path
    from lab.machine.machine import Machine
    from lab.machine.spec import MachineSpec
    from lab.settings import Settings
    kernel, disk, cache = map(Path, sys.argv[1:])
    settings = Settings(cache=cache, runs=cache)
    spec = MachineSpec(swap_mib=4, append="toy=mute:2")
    with Machine.boot(kernel_image=kernel, root=disk, spec=spec, settings=settings) as machine:
        print(machine.pid, flush=True)
        machine.agent.ping(deadline=600)
"""


@contextmanager
def lab_process(toy_kernel: Path, disk: Path, cache: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A lab of its own that waits for an agent which says nothing; gives it, and its QEMU's pidfd."""
    words = [sys.executable, "-c", textwrap.dedent(PROGRAM), str(toy_kernel), str(disk), str(cache)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as lab:
        assert lab.stdout is not None
        pidfd = os.pidfd_open(int(lab.stdout.readline()))
        try:
            yield lab, pidfd
        finally:
            lab.kill()
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)  # a test that failed shall not leave it either
            os.close(pidfd)


def ended(pidfd: int) -> bool:
    """Whether a process ends within the deadline."""
    return bool(select.select([pidfd], [], [], SECONDS)[0])


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_lab_that_is_signalled_leaves_no_qemu_and_no_file(
    toy_kernel: Path, disk: Path, tmp_path: Path, number: signal.Signals
) -> None:
    with lab_process(toy_kernel, disk, tmp_path / "cache") as (lab, qemu):
        lab.send_signal(number)
        assert ended(qemu)
        lab.wait(SECONDS)
    assert files_below(tmp_path) == []


def test_qemu_outlives_the_thread_that_asked_for_it(setup: Callable[..., Setup]) -> None:
    made: list[Machine] = []
    thread = threading.Thread(target=lambda: made.append(Machine.restored(**setup())))
    thread.start()
    thread.join(SECONDS)
    with made[0] as machine:
        machine.agent.ping()


def test_error_inside_with_ends_qemu(setup: Callable[..., Setup]) -> None:
    pids = []

    def scenario() -> None:
        with Machine.restored(**setup()) as machine:
            pids.append(machine.pid)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        scenario()
    assert released(pids[0])


def test_end_of_qemu_is_told_before_it_is_let_go(setup: Callable[..., Setup], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qemu, "RELEASE_SECONDS", 3600.0)
    with Machine.restored(**setup()) as machine:
        pid = machine.pid
    assert Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    assert os.waitpid(pid, os.WNOHANG)[0] == pid


def test_failed_boot_leaves_no_child_and_no_descriptor(setup: Callable[..., Setup]) -> None:
    def descriptors() -> int:
        gc.collect()  # a cache that nobody holds any more lets go of its lock
        return len(list(Path("/proc/self/fd").iterdir()))

    with Machine.restored(**setup()):
        pass  # the loop and its descriptors are there from now on
    before, others = descriptors(), set(children(os.getpid()))
    with pytest.raises(Exception, match="Kernel panic"):
        Machine.boot(**setup("panic-boot"))
    assert descriptors() == before
    assert all(released(pid) for pid in set(children(os.getpid())) - others)


def test_interrupt_while_qemu_starts_leaves_none(setup: Callable[..., Setup], monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop's thread starts QEMU; whoever asked for it is interrupted before it is there."""
    start, main, pidfds = LocalQemu._spawn, threading.main_thread().ident or 0, []

    def interrupted(qemu: LocalQemu, numbers: list[int]) -> None:
        signal.pthread_kill(main, signal.SIGINT)
        select.select([], [], [], 0.3)
        start(qemu, numbers)
        pidfds.append(os.pidfd_open(qemu.pid))

    monkeypatch.setattr(LocalQemu, "_spawn", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Machine.boot(**setup())
    assert [ended(pidfd) for pidfd in pidfds] == [True]
    os.close(pidfds[0])


def test_qemu_killed_in_the_middle_of_a_request_is_told_at_once(setup: Callable[..., Setup]) -> None:
    with Machine.boot(**setup("mute:2")) as machine:
        pending = machine.agent.submit(Op.PING)
        os.kill(machine.pid, signal.SIGKILL)
        with pytest.raises(MachineError, match="QEMU was killed by SIGKILL"):
            pending.result(deadline=600)


def tasks() -> set[asyncio.Task[object]]:
    """What runs in the loop, but for the question."""
    own = ("work", "wait_for")
    return {task for task in loop().call(asyncio.all_tasks) if getattr(task.get_coro(), "__name__", "") not in own}


def test_machine_that_ends_ends_its_tasks(setup: Callable[..., Setup]) -> None:
    """Or the loop would look at a line without another end again and again: a core would burn."""
    before = tasks()
    with Machine.restored(**setup()) as machine:
        assert tasks() - before
        os.kill(machine.pid, signal.SIGKILL)
        with pytest.raises(MachineError, match="QEMU was killed by SIGKILL"):
            machine.qmp("query-status")
        assert machine.state is MachineState.DEAD
        assert tasks() <= before


def test_qemu_killed_is_told_by_the_next_qmp_command(setup: Callable[..., Setup]) -> None:
    with Machine.restored(**setup()) as machine:
        os.kill(machine.pid, signal.SIGKILL)
        with pytest.raises(MachineError, match="QEMU was killed by SIGKILL"):
            machine.qmp("query-status")


def test_stopped_qemu_process_runs_into_the_deadline(setup: Callable[..., Setup]) -> None:
    with Machine.restored(**setup()) as machine:
        os.kill(machine.pid, signal.SIGSTOP)
        with pytest.raises(MachineError, match=r"no answer within 0.3 s"):
            machine.qmp("query-status", deadline=0.3)


def test_closed_machine_leaves_only_the_snapshot_in_the_cache(setup: Callable[..., Setup], tmp_path: Path) -> None:
    how = setup()
    how["settings"] = how["settings"].__class__(cache=tmp_path / "cache", runs=tmp_path / "runs")
    del how["cache"]
    with Machine.restored(**how):
        pass
    left = {path.name for path in files_below(tmp_path / "cache")} - {".in-use"}
    names = sorted(name for name in left if not name.startswith(".lock"))
    assert names == ["manifest.json", "root.qcow2", "swap.qcow2"]
