"""How this side of a connection ends, with a channel of the test's own; time is counted in heartbeats."""

from __future__ import annotations

import asyncio
import os
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lab.errors import InfraError, LabError, RemoteError
from lab.machine.loop import loop
from lab.remote import client as module
from lab.remote import messages
from lab.remote.client import Client
from lab.remote.errors import ConnectionLostError
from lab.remote.packets import Kind, Packet, PacketDecoder

SILENCE = 0.4


class Channel:
    """Answers each heartbeat, unless it is mute, and each request with 4711.

    Those that `deaf(heartbeats so far)` tells of are left unanswered until later.
    """

    def __init__(self, deaf: Callable[[int], bool]) -> None:
        self.deaf = deaf
        self.mute = False
        self.beats = 0
        self.closed = self.eof_received = self.full = False
        self.status_event = threading.Event()
        self.status_event.set()
        self._asked: list[int] = []
        self._heard = PacketDecoder()
        self._said: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._source, self._sink = os.pipe()

    def settimeout(self, seconds: float) -> None:
        self.seconds = seconds

    def fileno(self) -> int:
        return self._source

    def send(self, data: bytes) -> int:
        if self.full:
            raise TimeoutError
        for packet in self._heard.feed(data):
            if packet.kind is Kind.HEARTBEAT:
                self.beats += 1
                if not self.mute:
                    self.say(packet)
            if packet.kind is Kind.CONTROL:
                self._asked.append(messages.decode(packet.payload, messages.Asked).number)
        while self._asked and not self.deaf(self.beats):
            answer = messages.Answer(self._asked.pop(0), messages.encode(4711))
            self.say(Packet(Kind.CONTROL, payload=messages.encode(answer)))
        return len(data)

    def say(self, packet: Packet) -> None:
        self._said.put(packet.encode())
        os.write(self._sink, b"!")

    def cut(self) -> None:
        self.eof_received = True
        os.write(self._sink, b"!")

    def recv_ready(self) -> bool:
        return not self._said.empty()

    def recv(self, _size: int) -> bytes:
        os.read(self._source, 1)
        return self._said.get()

    def recv_stderr_ready(self) -> bool:
        return False

    def shutdown_write(self) -> None:
        pass

    def close(self) -> None:
        os.close(self._source)
        os.close(self._sink)


class Connection:
    target = "ssh://box"

    def __init__(self, channel: Channel) -> None:
        self.made = channel

    def channel(self, _command: str, _window: int) -> Any:
        return self.made


class Proxy:
    """A machine over there."""

    def __init__(self, stumble: Exception | None = None) -> None:
        self.stumble = stumble
        self.lost = threading.Event()

    def take(self, _: Packet) -> None:
        if self.stumble is not None:
            raise self.stumble

    def lose(self) -> None:
        self.lost.set()


def start(channel: Channel) -> Client:
    return Client(Connection(channel), "peer", "qemu", SILENCE)  # type: ignore[arg-type]


@pytest.fixture
def channel() -> Channel:
    return Channel(lambda _: False)


@pytest.fixture
def client(channel: Channel) -> Iterator[Client]:
    made = start(channel)
    yield made
    made.close()
    assert not made._sender.is_alive()
    assert loop().call(lambda: made._life not in asyncio.all_tasks())


def test_peer_that_starts_slowly_is_waited_for() -> None:
    channel = Channel(lambda beats: beats < 8)  # four of them are as long as it may be silent later
    channel.mute = True
    made = start(channel)
    assert (made.pid, channel.seconds) == (4711, SILENCE / 4)
    made.close()


def test_peer_that_never_starts_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "START_SECONDS", 0.5)
    channel = Channel(lambda _: True)
    channel.mute = True
    with pytest.raises(ConnectionLostError, match=r"has said nothing for 0\.5 s"):
        start(channel)


def test_peer_that_falls_silent_is_lost_after_its_limit(channel: Channel, client: Client) -> None:
    channel.deaf, channel.mute = lambda _: True, True
    before = channel.beats
    with pytest.raises(ConnectionLostError, match=r"has said nothing for 0\.4 s"):
        client.ask(messages.Hello("qemu", 10.0), int)
    assert channel.beats - before >= 2


def test_request_without_an_answer_is_no_lost_connection(channel: Channel, client: Client) -> None:
    channel.deaf = lambda _: True
    with pytest.raises(RemoteError, match=r"no answer within 1 s"):  # longer than it may be silent
        client.ask(messages.Hello("qemu", 10.0), int, seconds=1.0)
    assert client.lost is None


def test_cut_connection_is_lost_for_every_machine(channel: Channel, client: Client) -> None:
    proxy = Proxy()
    client.attach(proxy)
    channel.cut()
    assert proxy.lost.wait(10.0)
    with pytest.raises(ConnectionLostError, match="was cut"):
        client.ask(messages.Hello("qemu", 10.0), int)


def test_other_side_that_takes_nothing_is_lost(channel: Channel, client: Client) -> None:
    channel.full = True
    with pytest.raises(ConnectionLostError, match=r"has (taken|said) nothing for 0\.4 s"):
        client.ask(messages.Hello("qemu", 10.0), int)


@pytest.mark.parametrize(
    ("stumble", "kind", "told"),
    [
        (LookupError("nothing of the kind"), InfraError, "the lab stumbled.*nothing of the kind"),
        (RemoteError("no packet"), ConnectionLostError, "is lost.*no packet"),
    ],
)
def test_what_fails_where_nobody_waits_ends_the_connection(
    channel: Channel, client: Client, stumble: Exception, kind: type[LabError], told: str
) -> None:
    proxy = Proxy(stumble)
    channel.say(Packet(Kind.CONSOLE, client.attach(proxy), b"!"))
    assert proxy.lost.wait(10.0)
    with pytest.raises(kind, match=told):
        client.ask(messages.Hello("qemu", 10.0), int)
