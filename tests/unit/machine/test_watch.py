from __future__ import annotations

import threading
import time

import pytest

from lab.errors import GuestFault, HostError, InfraError, LabError, MachineError
from lab.machine import watch as module
from lab.machine.watch import Watch


def never() -> None:
    return None


def fault() -> LabError:
    return GuestFault("it died")


def test_what_is_there_is_returned() -> None:
    assert Watch().wait(lambda: 5, 0.0) == 5


def test_deadline_without_anything_gives_none() -> None:
    assert Watch().wait(never, 0.01) is None


def test_answer_that_came_before_the_fault_wins() -> None:
    watch = Watch()
    watch.fail(fault)
    assert watch.wait(lambda: "answer", 0.0) == "answer"


def test_verdict_ends_a_wait_in_another_thread() -> None:
    watch = Watch()
    seen: list[LabError] = []

    def wait() -> None:
        try:
            watch.wait(never, 600.0)
        except LabError as error:
            seen.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    watch.fail(fault)
    thread.join(10.0)
    assert [str(error) for error in seen] == ["it died"]


def test_notified_waiter_looks_again() -> None:
    watch = Watch()
    arrived: list[int] = []

    def arrive() -> None:
        arrived.append(7)
        watch.notify()

    threading.Timer(0.01, arrive).start()
    begin = time.monotonic()
    assert watch.wait(lambda: arrived[0] if arrived else None, 60.0) == 7
    assert time.monotonic() - begin < 30.0


def test_first_verdict_stays() -> None:
    watch = Watch()
    watch.fail(fault)
    watch.fail(lambda: MachineError("QEMU is gone"))
    with pytest.raises(GuestFault, match="it died"):
        watch.check()


def test_each_waiter_gets_an_error_of_its_own() -> None:
    watch = Watch()
    watch.fail(fault)
    found = []
    for _ in range(2):
        with pytest.raises(GuestFault) as caught:
            watch.check()
        found.append(caught.value)
    assert found[0] is not found[1]


def test_expected_verdict_is_waited_for_beyond_the_deadline() -> None:
    watch = Watch()
    watch.expect()
    threading.Timer(0.05, watch.fail, [fault]).start()
    with pytest.raises(GuestFault, match="it died"):
        watch.wait(never, 0.0)


def test_expected_verdict_that_never_comes_ends_with_the_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.02)
    watch = Watch()
    watch.expect()
    assert watch.wait(never, 0.0) is None


def test_forgotten_verdict_is_not_raised() -> None:
    watch = Watch()
    watch.fail(fault)
    watch.forget()
    watch.check()
    assert not watch.failed


@pytest.mark.parametrize(
    ("raised", "kind", "told"),
    [
        (HostError("the disk is full", doing="writing a log"), HostError, "writing a log: the disk is full"),
        (KeyError("nothing of the kind"), InfraError, "KeyError: 'nothing of the kind'"),
    ],
)
def test_what_goes_wrong_in_the_lab_becomes_the_verdict(raised: Exception, kind: type[LabError], told: str) -> None:
    watch = Watch()
    watch.stumble(raised)
    with pytest.raises(kind) as caught:
        watch.wait(never, 60.0)
    assert told in str(caught.value)
