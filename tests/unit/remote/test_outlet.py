"""Writing without waiting."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator

import pytest

from lab.remote.outlet import Outlet

MUCH = b"x" * (1 << 20)


@pytest.fixture
def events() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair()
    near.setblocking(False)
    with near, far:
        yield near, far


def read(end: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += end.recv(1 << 16)
    return data


def test_what_does_not_fit_goes_later_in_its_order(
    events: asyncio.AbstractEventLoop, ends: tuple[socket.socket, socket.socket]
) -> None:
    near, far = ends
    emptied: list[int] = []

    def stop() -> None:
        emptied.append(outlet.waiting)
        events.stop()

    outlet = Outlet(near.fileno(), events, stop)
    outlet.send(MUCH)
    outlet.send(b"end")
    assert outlet.waiting > 0
    reading = events.run_in_executor(None, read, far, len(MUCH) + 3)
    events.run_forever()
    assert events.run_until_complete(reading) == MUCH + b"end"
    assert emptied == [0]


def test_what_waits_can_be_forgotten(
    events: asyncio.AbstractEventLoop, ends: tuple[socket.socket, socket.socket]
) -> None:
    near, far = ends
    outlet = Outlet(near.fileno(), events)
    outlet.send(MUCH)
    held = len(MUCH) - outlet.waiting
    outlet.forget()
    outlet.send(b"more")
    near.close()
    assert (outlet.waiting, len(read(far, held)), far.recv(1)) == (0, held, b"")


def test_end_that_nobody_reads_takes_everything_and_keeps_nothing(events: asyncio.AbstractEventLoop) -> None:
    source, sink = os.pipe()
    os.close(source)
    outlet = Outlet(sink, events)
    outlet.send(b"lost")
    outlet.send(MUCH)
    assert outlet.waiting == 0
    os.close(sink)
