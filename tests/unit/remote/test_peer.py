"""The peer and its watchdog, without SSH: over two pipes."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lab.cache import file_digest
from lab.errors import MachineError, SourceError
from lab.remote import messages
from lab.remote.packets import Kind, Packet, PacketDecoder
from lab.version import KernelVersion

SECONDS = 20.0
SOON = 8.0  # less than the limits that hold before anybody says others


class Talk:
    """A watchdog as a child, and what is said with its peer."""

    def __init__(self, cache: Path) -> None:
        self.child = subprocess.Popen(
            [sys.executable, "-m", "lab.remote.peer"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | {"KVMD_LAB_CACHE": str(cache)},
            bufsize=0,
        )
        self._decoder = PacketDecoder()
        self._number = 0

    def ask(self, request: Any) -> Any:
        """Send a request and return the first message that comes back."""
        self._number += 1
        asked = messages.encode(messages.Asked(self._number, request))
        self.say(Packet(Kind.CONTROL, payload=asked).encode())
        return next(message for message in self._messages() if not isinstance(message, messages.Event))

    def say(self, data: bytes) -> None:
        assert self.child.stdin is not None
        self.child.stdin.write(data)

    def _messages(self) -> Iterator[Any]:
        assert self.child.stdout is not None
        while select.select([self.child.stdout], [], [], SECONDS)[0]:
            data = self.child.stdout.read(1 << 16)
            assert data, self.child.stderr and self.child.stderr.read()
            for packet in self._decoder.feed(data):
                if packet.kind is Kind.CONTROL:
                    yield messages.decode(packet.payload, messages.Answer | messages.Event | messages.Failure)


@pytest.fixture
def talk(tmp_path: Path) -> Iterator[Talk]:
    made = Talk(tmp_path / "cache")
    yield made
    made.child.kill()
    made.child.wait()
    for end in (made.child.stdin, made.child.stdout, made.child.stderr):
        assert end is not None
        end.close()


def hello(talk: Talk, silence: float = 60.0) -> int:
    return int(messages.decode(talk.ask(messages.Hello("qemu-system-i386", silence)).value, int))


@contextmanager
def watched(pid: int, seconds: float = SECONDS) -> Iterator[Callable[[], bool]]:
    """Give what waits for the end of a process that is no child, and tells whether it came."""
    number = os.pidfd_open(pid)
    try:
        yield lambda: bool(select.select([number], [], [], seconds)[0])
    finally:
        os.close(number)


def test_peer_greets_with_its_number_and_has_a_watchdog(talk: Talk) -> None:
    status = Path(f"/proc/{hello(talk)}/status").read_text()
    assert f"PPid:\t{talk.child.pid}\n" in status


def test_peer_ends_with_its_input(talk: Talk) -> None:
    hello(talk)
    assert talk.child.stdin is not None
    talk.child.stdin.close()
    assert talk.child.wait(SECONDS) == 0


def test_peer_ends_when_nothing_is_said(talk: Talk) -> None:
    hello(talk, silence=1.0)
    assert talk.child.wait(SOON) == 0
    assert talk.child.stderr is not None
    assert b"nothing was heard for 1 s" in talk.child.stderr.read()


def test_stopped_peer_is_killed_by_its_watchdog(talk: Talk) -> None:
    peer = hello(talk, silence=1.0)
    with watched(peer, SOON) as ended:
        os.kill(peer, signal.SIGSTOP)
        assert ended()
    assert talk.child.wait(SECONDS) == 128 + signal.SIGKILL


def test_peer_that_speaks_is_let_live(talk: Talk) -> None:
    peer, silence, longest = hello(talk, silence=2.0), 2.0, 0.0
    for _ in range(15):
        begin = time.monotonic()
        assert select.select([], [], [], 0.3) == ([], [], [])
        longest = max(longest, time.monotonic() - begin)
        talk.say(Packet(Kind.HEARTBEAT).encode()) if longest < silence / 2 else None
    if longest >= silence / 2:
        pytest.skip(f"this host stood still for {longest:.1f} s: nobody could have spoken")
    assert hello(talk) == peer


def test_peer_dies_with_its_watchdog(talk: Talk) -> None:
    with watched(hello(talk)) as ended:
        talk.child.kill()
        assert ended()


def test_peer_ends_although_its_watchdog_is_stopped(talk: Talk) -> None:
    with watched(hello(talk)) as ended:
        talk.child.send_signal(signal.SIGSTOP)
        assert talk.child.stdin is not None
        talk.child.stdin.close()
        assert ended()
    talk.child.send_signal(signal.SIGCONT)
    assert talk.child.wait(SECONDS) == 0


def test_peer_that_hears_nonsense_ends(talk: Talk) -> None:
    hello(talk)
    talk.say(b"\xff" * 100)
    assert talk.child.wait(SECONDS) == 0
    assert talk.child.stderr is not None
    assert b"does not speak to the lab" in talk.child.stderr.read()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_peer_ends_by_a_signal(talk: Talk, number: signal.Signals) -> None:
    hello(talk)
    talk.child.send_signal(number)
    assert talk.child.wait(SECONDS) == 0


def test_lab_error_comes_back_and_the_peer_goes_on(talk: Talk) -> None:
    peer = hello(talk)
    failed = talk.ask(messages.Drain(5))
    assert type(messages.error(failed, "box")) is MachineError
    assert hello(talk) == peer


def test_file_that_is_not_what_was_sent_is_refused_and_removed(talk: Talk, tmp_path: Path) -> None:
    hello(talk)
    sent = tmp_path / "sent"
    sent.write_bytes(b"half")
    failed = talk.ask(messages.Take(sent, "0" * 64, "whole"))
    assert "what arrived is" in failed.what
    assert not sent.exists()
    assert messages.decode(talk.ask(messages.FindFile("0" * 64, "whole")).value, Path | None) is None


def test_file_is_found_under_the_name_that_it_has_today(talk: Talk, tmp_path: Path) -> None:
    hello(talk)
    for name in ("a.config", "b.config"):  # it was renamed between two builds
        sent = tmp_path / "sent"
        sent.write_bytes(b"CONFIG_SMP=y\n")
        wanted = file_digest(sent)
        assert messages.decode(talk.ask(messages.FindFile(wanted, name)).value, Path | None) is None
        place = messages.decode(talk.ask(messages.Take(sent, wanted, name)).value, Path)
        assert (place.name, place.read_bytes()) == (name, b"CONFIG_SMP=y\n")
        assert messages.decode(talk.ask(messages.FindFile(wanted, name)).value, Path | None) == place


def test_tarball_that_is_none_is_a_source_error_and_leaves_no_tree(talk: Talk, tmp_path: Path) -> None:
    hello(talk)
    sent = tmp_path / "sent"
    sent.write_bytes(b"no tarball")
    failed = talk.ask(messages.Unpack(sent, KernelVersion("2.3.99-pre3"), "abc"))
    assert type(messages.error(failed, "box")) is SourceError
    assert messages.decode(talk.ask(messages.HasTree("abc")).value, bool) is False
