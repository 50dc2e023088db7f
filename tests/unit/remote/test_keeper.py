"""The keeper, without SSH: over two pipes."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.errors import MachineError, SourceError
from lab.remote import messages
from lab.remote.frames import Decoder, Frame, Kind
from lab.version import KernelVersion

SECONDS = 20.0


class Talk:
    """A keeper as a child, and what is said with it."""

    def __init__(self, cache: Path) -> None:
        self.child = subprocess.Popen(
            [sys.executable, "-m", "lab.remote.keeper"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | {"KVMD_LAB_CACHE": str(cache)},
            bufsize=0,
        )
        self._decoder = Decoder()
        self._number = 0

    def ask(self, request: Any) -> Any:
        """Send a request and return the first message that comes back."""
        self._number += 1
        asked = messages.encode(messages.Asked(self._number, request))
        self.say(Frame(Kind.CONTROL, payload=asked).encode())
        return next(message for message in self._messages() if not isinstance(message, messages.Event))

    def say(self, data: bytes) -> None:
        assert self.child.stdin is not None
        self.child.stdin.write(data)

    def _messages(self) -> Iterator[Any]:
        assert self.child.stdout is not None
        while select.select([self.child.stdout], [], [], SECONDS)[0]:
            data = self.child.stdout.read(1 << 16)
            assert data, self.child.stderr and self.child.stderr.read()
            for frame in self._decoder.feed(data):
                if frame.kind is Kind.CONTROL:
                    yield messages.decode(frame.payload, messages.Answer | messages.Event | messages.Failure)


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


def test_keeper_greets_with_its_number(talk: Talk) -> None:
    assert hello(talk) == talk.child.pid


def test_keeper_ends_with_its_input(talk: Talk) -> None:
    hello(talk)
    assert talk.child.stdin is not None
    talk.child.stdin.close()
    assert talk.child.wait(SECONDS) == 0


def test_keeper_ends_when_nothing_is_said(talk: Talk) -> None:
    hello(talk, silence=0.2)
    assert talk.child.wait(SECONDS) == 0


def test_keeper_that_hears_nonsense_ends(talk: Talk) -> None:
    hello(talk)
    talk.say(b"\xff" * 100)
    assert talk.child.wait(SECONDS) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_keeper_ends_by_a_signal(talk: Talk, number: signal.Signals) -> None:
    hello(talk)
    talk.child.send_signal(number)
    assert talk.child.wait(SECONDS) == 0


def test_lab_error_comes_back_and_the_keeper_goes_on(talk: Talk) -> None:
    hello(talk)
    failed = talk.ask(messages.Settle(5))
    assert type(messages.error(failed, "box")) is MachineError
    assert hello(talk) == talk.child.pid


def test_file_that_is_not_what_was_sent_is_refused_and_removed(talk: Talk, tmp_path: Path) -> None:
    hello(talk)
    sent = tmp_path / "sent"
    sent.write_bytes(b"half")
    failed = talk.ask(messages.Take(sent, "0" * 64, "whole"))
    assert "what arrived is" in failed.what
    assert not sent.exists()
    assert messages.decode(talk.ask(messages.Missing(("0" * 64,))).value, list[str]) == ["0" * 64]


def test_tarball_that_is_none_is_a_source_error_and_leaves_no_tree(talk: Talk, tmp_path: Path) -> None:
    hello(talk)
    sent = tmp_path / "sent"
    sent.write_bytes(b"no tarball")
    failed = talk.ask(messages.Unpack(sent, KernelVersion("2.3.99-pre3"), "abc"))
    assert type(messages.error(failed, "box")) is SourceError
    assert messages.decode(talk.ask(messages.HasTree("abc")).value, bool) is False
