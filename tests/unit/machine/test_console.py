from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.errors import HostError, SubjectError
from lab.journal import Journal
from lab.machine import console as module
from lab.machine.console import Console
from lab.machine.oops import ConsoleFault
from lab.machine.symbols import Symbols
from lab.machine.watch import Watch


class Clock:
    """Timers that ring when the test says so."""

    def __init__(self) -> None:
        self.timers: list[tuple[float, Callable[[], None]]] = []

    def later(self, seconds: float, function: Callable[[], None]) -> Clock.Timer:
        entry = (seconds, function)
        self.timers.append(entry)
        return Clock.Timer(self, entry)

    def ring(self, seconds: float) -> None:
        """Let the timers of just that duration ring."""
        for entry in [entry for entry in self.timers if entry[0] == seconds]:
            self.timers.remove(entry)
            entry[1]()

    class Timer:
        def __init__(self, clock: Clock, entry: tuple[float, Callable[[], None]]) -> None:
            self._clock, self._entry = clock, entry

        def cancel(self) -> None:
            if self._entry in self._clock.timers:
                self._clock.timers.remove(self._entry)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def console(watch: Watch, clock: Clock, tmp_path: Path) -> Iterator[Console]:
    made = Console(watch, Journal(), Symbols(), clock.later, tmp_path / "logs" / "console.log")
    yield made
    made.close()


def test_bytes_in_pieces_become_whole_lines(console: Console) -> None:
    for piece in (b"on", b"e\r\ntw", b"o\n", b"half"):
        console.feed(piece)
    assert console.lines == ("one", "two")


def test_last_line_without_end_counts_when_the_console_ends(console: Console) -> None:
    console.feed(b"one\nhalf")
    console.finish()
    assert console.lines == ("one", "half")


@pytest.fixture
def full(watch: Watch, clock: Clock, tmp_path: Path) -> Iterator[Console]:
    """A console whose log is on a full disk."""
    (tmp_path / "full.log").symlink_to("/dev/full")
    made = Console(watch, Journal(), Symbols(), clock.later, tmp_path / "full.log")
    yield made
    made.close()


def test_log_that_cannot_be_written_is_the_machines_verdict(full: Console, watch: Watch) -> None:
    full.feed(b"hello\n")
    with pytest.raises(HostError, match=r"full\.log: the disk is full"):
        watch.check()
    assert full.lines == ("hello",)


def test_full_disk_hides_no_panic(full: Console, watch: Watch, clock: Clock) -> None:
    full.feed(b"Kernel panic: no init\n")
    clock.ring(module.QUIET_SECONDS)
    with pytest.raises(ConsoleFault, match="no init"):
        watch.check()


def test_journal_that_cannot_be_written_hides_no_panic(watch: Watch, clock: Clock, tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").symlink_to("/dev/full")
    with Journal(tmp_path / "journal.jsonl") as journal:
        console = Console(watch, journal, Symbols(), clock.later)
        console.feed(b"Kernel panic: no init\n")
        console.finish()
    with pytest.raises(ConsoleFault, match="no init"):
        watch.check()


def test_log_gets_the_very_bytes(console: Console, tmp_path: Path) -> None:
    console.feed(b"one\r\n\xff\n")
    console.close()
    assert (tmp_path / "logs" / "console.log").read_bytes() == b"one\r\n\xff\n"


def test_line_that_was_said_before_is_found(console: Console) -> None:
    console.feed(b"lab: agent ready\n")
    assert console.wait_for(r"agent (ready|late)", deadline=0.0) == "lab: agent ready"


def test_line_that_is_missing_is_told_with_the_last_lines(console: Console) -> None:
    console.feed(b"one\ntwo\n")
    with pytest.raises(SubjectError) as caught:
        console.wait_for("three", deadline=0.0)
    assert caught.value.seen == ("one", "two")


def test_silent_console_is_not_told_with_the_lines_of_an_earlier_boot(console: Console, tmp_path: Path) -> None:
    (tmp_path / "logs" / "console.log").write_text("an earlier boot\n")
    with pytest.raises(SubjectError) as caught:
        console.wait_for("anything", deadline=0.0)
    assert caught.value.seen == ("(the console has said nothing)",)


def test_oops_is_no_verdict_before_its_report_is_whole(console: Console, watch: Watch, clock: Clock) -> None:
    console.feed(b"Oops: 0000\nCPU:    0\n")
    before = watch.failed
    clock.ring(module.QUIET_SECONDS)
    assert (before, watch.failed) == (False, True)


def test_deadline_that_passes_while_an_oops_is_printed_waits_for_it(
    console: Console, watch: Watch, clock: Clock
) -> None:
    console.feed(b"Oops: 0000\n")
    threading.Timer(0.02, clock.ring, [module.QUIET_SECONDS]).start()
    with pytest.raises(ConsoleFault):
        console.wait_for("never", deadline=0.0)
    assert watch.failed


def test_lines_behind_the_first_belong_to_the_report(console: Console, watch: Watch, clock: Clock) -> None:
    console.feed(b"Oops: 0000\nCPU:    0\nCode: 0f 0b\n")
    clock.ring(module.CLOSED_SECONDS)
    with pytest.raises(ConsoleFault) as caught:
        watch.check()
    assert caught.value.report.lines == ("Oops: 0000", "CPU:    0", "Code: 0f 0b")


def test_guest_that_never_stops_talking_does_not_hide_its_oops(console: Console, watch: Watch, clock: Clock) -> None:
    console.feed(b"Oops: 0000\n")
    console.feed(b"babble\n" * 3)
    clock.ring(module.LONGEST_SECONDS)
    assert watch.failed


def test_end_of_console_completes_the_report(console: Console, watch: Watch, clock: Clock) -> None:
    console.feed(b"Kernel panic: no way on\nRebooting in 1 sec")
    console.finish()
    with pytest.raises(ConsoleFault, match="no way on"):
        watch.check()
    assert clock.timers == []


def test_rewind_forgets_lines_report_and_timers(console: Console, clock: Clock) -> None:
    console.feed(b"Oops: 0000\nhalf")
    console.rewind("restored")
    console.feed(b"fresh\n")
    assert (console.lines, console.report, clock.timers) == (("fresh",), None, [])


def test_fault_goes_into_the_journal_decoded(watch: Watch, clock: Clock) -> None:
    heard: list[dict[str, object]] = []
    journal = Journal()
    journal.listen(heard.append)
    console = Console(watch, journal, Symbols("c0100000 T _text\nc0100100 T kvmd_map\nc0200000 A _etext"), clock.later)
    console.feed(b"Unable to handle kernel paging request at virtual address 00000010\n")
    console.feed(b"EIP:    0010:[<c0100110>]\nProcess kvmd/0 (pid: 7, stackpage=c0100000)\n")
    console.feed(b"Call Trace: [<c0100120>] \nCode: 00\n")
    console.finish()
    (fault,) = [event for event in heard if event["kind"] == "fault"]
    assert (fault["what"], fault["process"]) == ("oops", "kvmd/0 (pid 7)")
    assert fault["text"] == "Unable to handle kernel paging request at virtual address 00000010"
    assert (str(fault["eip"]).split("+")[0], len(fault["trace"])) == ("kvmd_map", 1)  # type: ignore[arg-type]
