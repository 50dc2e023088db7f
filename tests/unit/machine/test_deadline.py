"""A deadline that does not count the time in which nobody had a processor, on a clock and books of the test's own."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from lab.errors import AgentError, MachineError
from lab.machine import session
from lab.machine.deadline import LONGEST, LOOK_SECONDS, Books, Deadline, books, threads
from lab.machine.protocol import Op
from lab.machine.watch import Watch
from tests.unit.machine.test_rpc import Peer


class Host:
    """A host with one thread of QEMU and one of the lab; seconds."""

    def __init__(self) -> None:
        self.now = self.ran = self.waited = self.lab_waited = self.unbooked = 0.0
        self.ready = False

    def read(self) -> Books:
        nano = 10**9
        cpu = (int(self.ran * nano), int(self.waited * nano), self.ready)
        return {"cpu": cpu, "lab": (0, int(self.lab_waited * nano), False)}

    def go(self, seconds: float, *, share: float = 1.0, idle: bool = False) -> None:
        """Let time pass, in which QEMU got this share of a processor, or wanted none."""
        self.now += seconds
        self.ready = not idle
        self.ran += 0.0 if idle else seconds * share
        self.waited += 0.0 if idle else seconds * (1 - share)

    def starve(self, seconds: float) -> None:
        """Let time pass in which QEMU waits for a processor; that is booked when it gets one."""
        self.now += seconds
        self.ready = True
        self.unbooked += seconds

    def serve(self) -> None:
        """Give it one."""
        self.ran += 0.001
        self.waited, self.unbooked = self.waited + self.unbooked, 0.0


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    made = Host()
    monkeypatch.setattr("lab.machine.deadline.time.monotonic", lambda: made.now)
    return made


def begun(host: Host, seconds: float) -> Deadline:
    """A deadline whose books are open."""
    deadline = Deadline(seconds, host.read)
    host.go(0.2)
    deadline.note()
    return deadline


def second_look(host: Host, deadline: Deadline, share: float = 1.0) -> bool:
    """A thread that is ready at the first look may wait or run."""
    assert deadline.extend()
    assert 0 < deadline.left <= LOOK_SECONDS
    host.go(LOOK_SECONDS, share=share)
    return deadline.extend()


def test_guest_that_runs_all_the_time_has_the_hosts_time(host: Host) -> None:
    deadline = begun(host, 10.0)
    host.go(9.8)
    assert (second_look(host, deadline), str(deadline)) == (False, "10 s")


def test_wait_that_is_not_booked_yet_is_waited_for(host: Host) -> None:
    deadline = begun(host, 10.0)
    host.go(4.8)
    host.starve(40.0)
    for _ in range(5):
        assert deadline.extend()
        host.starve(LOOK_SECONDS)
    host.serve()
    assert deadline.extend()
    assert deadline.left == pytest.approx(10.0 - 5.0, abs=0.01)


def test_thread_that_waits_while_another_computes_does_not_hold_up_the_deadline(host: Host) -> None:
    deadline = begun(host, 10.0)
    read = deadline._read
    deadline._read = lambda: read() | {"main loop": (5, 5, True)}
    host.go(9.8)
    assert not second_look(host, deadline)


def test_guest_that_is_never_served_ends_after_a_long_time(host: Host) -> None:
    deadline = begun(host, 1.0)
    looks = 0
    while deadline.extend():
        host.starve(LOOK_SECONDS)
        looks += 1
    assert host.now == pytest.approx(1.0 * LONGEST, abs=0.2)
    assert looks == pytest.approx((LONGEST - 0.2) / LOOK_SECONDS, abs=2)


def test_guest_that_idles_has_the_hosts_time(host: Host) -> None:
    deadline = begun(host, 10.0)
    host.go(9.8, idle=True)
    assert not deadline.extend()


def test_guest_with_a_tenth_of_a_processor_has_a_tenth_of_the_hosts_time(host: Host) -> None:
    deadline = begun(host, 10.2)
    host.go(50.0, share=0.1)
    assert deadline.extend()
    assert deadline.left == pytest.approx(10.2 - 0.2 - 5.0)
    host.go(50.0, share=0.1)
    assert (second_look(host, deadline), str(deadline)) == (
        False,
        "10.3 s of its own (100 s on the host, which was busy with other things)",
    )


def test_waits_of_the_lab_add_up_with_those_of_qemu(host: Host) -> None:
    deadline = begun(host, 11.2)
    host.go(10.0, share=0.5)
    host.go(10.0, idle=True)
    host.lab_waited += 5.0
    assert deadline.extend()
    assert deadline.left == pytest.approx(11.2 + 5.0 + 5.0 - 20.2)
    host.go(2.0, idle=True)
    assert deadline.extend() is False


def test_time_that_a_thread_ran_is_never_lost(host: Host) -> None:
    deadline = begun(host, 10.0)
    host.go(9.8)
    host.lab_waited += 9.0
    assert not second_look(host, deadline)


def test_guest_that_gets_nothing_ends_after_a_long_time_all_the_same(host: Host) -> None:
    deadline = begun(host, 10.0)
    host.go(10.0 * LONGEST - 1.0, share=0.0)
    assert deadline.extend()
    host.go(1.0, share=0.0)
    assert not deadline.extend()


def test_short_wait_does_not_look_into_the_books(host: Host) -> None:
    def read() -> Books:
        raise AssertionError("it looked")

    deadline = Deadline(10.0, read)
    host.go(0.1)
    deadline.note()
    host.go(10.0)
    assert not deadline.extend()


def test_books_that_cannot_be_had_leave_the_hosts_time(host: Host) -> None:
    def read() -> Books:
        raise MachineError("there is no machine 7")

    deadline = Deadline(10.0, read)
    host.go(1.0, share=0.0)
    deadline.note()
    host.go(9.0, share=0.0)
    assert not deadline.extend()


def test_answer_after_the_hosts_deadline_is_an_answer_if_the_guest_had_no_processor() -> None:
    begin = time.monotonic()
    watch = Watch(lambda: {"cpu": (0, int((time.monotonic() - begin) * 1e9), False)})
    arrived: list[int] = []

    def arrive() -> None:
        arrived.append(7)
        watch.notify()

    threading.Timer(1.5, arrive).start()
    assert watch.wait(lambda: arrived[0] if arrived else None, watch.deadline(0.5)) == 7
    assert time.monotonic() - begin > 1.0


def test_timeout_of_a_request_tells_both_times() -> None:
    peer = Peer()
    try:
        peer.answer = lambda _frame: []
        begin = time.monotonic()
        peer.watch._read = lambda: {"cpu": (0, int(min(time.monotonic() - begin, 1.0) * 1e9), False)}
        with pytest.raises(AgentError, match=r"no reply within [\d.]+ s of its own \([\d.]+ s on the host"):
            peer.rpc.request(Op.PING, deadline=0.5)
    finally:
        peer.close()


@contextmanager
def spinning(count: int, cpu: int) -> Iterator[list[int]]:
    """Processes that want one processor, all the same one."""
    words = ["taskset", "-c", str(cpu), "sh", "-c", "while :; do :; done"]
    made = [subprocess.Popen(words) for _ in range(count)]
    try:
        yield [one.pid for one in made]
    finally:
        for one in made:
            one.kill()
            one.wait()


def spun(pid: int, least: float) -> tuple[int, int, bool]:
    """The books on a process of one thread, once it ran longer than that, in nanoseconds, from its `while` on."""
    end, pause = time.monotonic() + 60.0, threading.Event()
    while True:
        ((ran, waited, ready),) = books(pid).values()
        if ran > least and Path(f"/proc/{pid}/comm").read_text() == "sh\n":
            return ran, waited, ready
        assert time.monotonic() < end
        pause.wait(0.02)


def test_kernels_books_tell_a_process_that_waits_from_one_that_idles() -> None:
    if not Path("/proc/self/schedstat").exists():
        pytest.skip("this host's kernel keeps no books (CONFIG_SCHED_INFO)")
    with spinning(2, min(os.sched_getaffinity(0))) as (pid, other):
        spun(other, 0)  # before that the first one has the processor for itself
        before = spun(pid, 0)
        ran, waited, ready = spun(pid, before[0] + 2e8)
    assert waited - before[1] > (ran - before[0]) / 3  # half of the time is the other one's
    assert ready
    assert books(pid) == {}


def test_quit_that_does_not_end_tells_what_the_threads_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "END_SECONDS", 0.3)
    with subprocess.Popen(["sleep", "60"]) as hung:
        os.kill(hung.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, hung.pid, os.WSTOPPED | os.WNOWAIT)
        standing = SimpleNamespace(
            qmp=SimpleNamespace(execute=lambda _: None),
            watch=Watch(lambda: books(hung.pid)),
            words=lambda: ["its last words"],
            _gone=threading.Event(),
            _qemu=SimpleNamespace(threads=lambda: threads(hung.pid)),
        )
        with pytest.raises(MachineError, match=r"does not end within 0\.3 s") as caught:
            session.Session.quit(standing)  # type: ignore[arg-type]
        hung.kill()
    assert caught.value.seen[0] == "its last words"
    assert [line.split()[:2] for line in caught.value.seen[1:]] == [["sleep", "T"]]


def test_who_asks_again_and_again_hears_when_it_has_passed(host: Host) -> None:
    deadline = Deadline(10.0, host.read)
    assert not deadline.passed()
    host.go(0.2)
    assert not deadline.passed()
    host.go(8.0, share=0.5)
    host.go(4.0, idle=True)
    assert not deadline.passed()  # 4 s of these were others'
    host.go(4.0, idle=True)
    assert deadline.passed()
