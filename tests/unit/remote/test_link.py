"""How long the near side waits for a word, with a channel of the test's own in which no time passes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from lab.remote import messages
from lab.remote.errors import LinkLostError
from lab.remote.frames import Frame, Kind
from lab.remote.link import START_SECONDS, Link


class Channel:
    """Each wait is over at once, as a timeout, unless something is to be heard; `silent(n)` is asked at the n-th."""

    def __init__(self, silent: Callable[[int], bool]) -> None:
        self.silent = silent
        self.waits = 0
        self.asked = threading.Event()
        self.status_event = threading.Event()
        self.status_event.set()

    def settimeout(self, seconds: float) -> None:
        self.seconds = seconds

    def recv(self, _size: int) -> bytes:
        self.waits += 1
        if self.silent(self.waits):
            raise TimeoutError
        if not self.asked.is_set():
            time.sleep(0.01)
            return Frame(Kind.BEAT).encode()
        self.asked.clear()
        return Frame(Kind.CONTROL, payload=messages.encode(messages.Answer(1, messages.encode(4711)))).encode()

    def send(self, data: bytes) -> int:
        self.asked.set()
        return len(data)

    def recv_stderr_ready(self) -> bool:
        return False

    def shutdown_write(self) -> None:
        pass

    def close(self) -> None:
        pass


class Connection:
    target = "ssh://box"

    def __init__(self, channel: Channel) -> None:
        self.made = channel

    def channel(self, _command: str) -> Any:
        return self.made


def link(silent: Callable[[int], bool], silence: float = 10.0) -> tuple[Link, Channel]:
    channel = Channel(silent)
    return Link(Connection(channel), "keeper", "qemu", silence), channel  # type: ignore[arg-type]


def test_keeper_that_starts_slowly_is_waited_for() -> None:
    made, channel = link(lambda wait: wait < START_SECONDS)  # each wait is one second
    assert made.pid == 4711
    assert channel.seconds == 1.0
    made.close()


def test_keeper_that_never_starts_is_lost() -> None:
    with pytest.raises(LinkLostError, match=r"has said nothing for 60 s"):
        link(lambda _: True)


def test_keeper_that_falls_silent_is_lost_after_its_limit() -> None:
    began = threading.Event()
    made, channel = link(lambda _: began.is_set())
    before = channel.waits
    began.set()
    with pytest.raises(LinkLostError, match=r"has said nothing for 10 s"):
        made.ask(messages.Hello("qemu", 10.0), int)
    assert 10 <= channel.waits - before <= 12
    made.close()
