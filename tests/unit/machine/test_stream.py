"""One descriptor in the loop, read and written without waiting."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from lab.errors import MachineError
from lab.machine.loop import loop
from lab.machine.stream import Stream, readable

MUCH = b"x" * (1 << 20)
SECONDS = 10.0


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair()
    with near, far:
        yield near, far


@contextmanager
def served(stream: Stream) -> Iterator[asyncio.Task[None]]:
    """Serve it in the loop; give the task."""

    async def end() -> None:
        serving.cancel()
        await asyncio.wait([serving])

    serving = loop().start(stream.serve())
    yield serving
    loop().run(end(), SECONDS)


def ended(serving: asyncio.Task[None]) -> None:
    """Wait for the end, and raise what it raised."""

    async def wait() -> None:
        await serving

    loop().run(wait(), SECONDS)


def nothing(_: bytes) -> None:
    return None


def read(end: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += end.recv(1 << 16)
    return data


def in_time(ready: Callable[[], bool]) -> bool:
    end = time.monotonic() + SECONDS
    while not ready() and time.monotonic() < end:
        threading.Event().wait(0.005)
    return ready()


def test_what_comes_is_taken_until_the_end(ends: tuple[socket.socket, socket.socket]) -> None:
    near, far = ends
    heard: list[bytes] = []
    with served(Stream(near.fileno(), heard.append)) as serving:
        far.sendall(b"one")
        far.shutdown(socket.SHUT_WR)
        ended(serving)
    assert b"".join(heard) == b"one"


def test_nobody_is_called_any_more_after_the_end(ends: tuple[socket.socket, socket.socket]) -> None:
    """A descriptor at its end is always readable: a core would burn."""
    near, far = ends
    with served(Stream(near.fileno(), nothing)) as serving:
        far.close()
        ended(serving)
        assert not loop().call(loop().events.remove_reader, near)


def test_what_taking_raises_ends_the_task(ends: tuple[socket.socket, socket.socket]) -> None:
    def stumble(_: bytes) -> None:
        raise LookupError("nothing of the kind")

    near, far = ends
    with served(Stream(near.fileno(), stumble)) as serving:
        far.sendall(b"!")
        with pytest.raises(LookupError):
            ended(serving)


def test_what_taking_raised_at_the_very_end_is_not_lost(ends: tuple[socket.socket, socket.socket]) -> None:
    def stumble(_: bytes) -> None:
        raise LookupError("nothing of the kind")

    def drain() -> None:
        far.sendall(b"!")
        stream.drain()
        stream.finish()

    near, far = ends
    stream = Stream(near.fileno(), stumble)
    with served(stream) as serving:
        loop().call(drain)
        with pytest.raises(LookupError):
            ended(serving)


def test_what_nobody_reads_from_any_more_is_not_changed(ends: tuple[socket.socket, socket.socket]) -> None:
    near, far = ends
    stream = Stream(near.fileno(), nothing)
    with served(stream) as serving:
        far.close()
        ended(serving)
        with pytest.raises(MachineError, match="nobody reads any more"):
            loop().call(stream.change, near.fileno())


def test_all_that_is_there_is_taken_at_once(ends: tuple[socket.socket, socket.socket]) -> None:
    near, far = ends
    heard: list[bytes] = []
    stream = Stream(near.fileno(), heard.append)
    with served(stream):

        def put_and_drain() -> bytes:
            far.sendall(b"x" * 100_000)
            stream.drain()
            return b"".join(heard)

        assert len(loop().call(put_and_drain)) == 100_000


def test_nothing_is_read_in_a_pause(ends: tuple[socket.socket, socket.socket]) -> None:
    near, far = ends
    heard: list[bytes] = []
    stream = Stream(near.fileno(), heard.append)
    with served(stream):
        loop().call(lambda: stream.pause(on=True))
        far.sendall(b"later")
        loop().run(asyncio.sleep(0.02), SECONDS)
        assert heard == []
        loop().call(lambda: stream.pause(on=False))
        assert in_time(lambda: heard == [b"later"])


def test_another_descriptor_takes_its_place(ends: tuple[socket.socket, socket.socket]) -> None:
    near, far = ends
    heard: list[bytes] = []
    stream = Stream(near.fileno(), heard.append)
    again, other = socket.socketpair()
    with again, other, served(stream):
        loop().call(stream.send, MUCH)
        loop().call(stream.change, again.fileno())
        assert loop().call(lambda: stream.waiting) == 0
        far.sendall(b"old")
        other.sendall(b"new")
        loop().call(stream.send, b"answer")
        assert other.recv(64) == b"answer"
        assert in_time(lambda: heard == [b"new"])


def test_what_does_not_fit_goes_later_in_its_order(ends: tuple[socket.socket, socket.socket]) -> None:
    near, far = ends
    emptied: list[int] = []
    stream = Stream(near.fileno(), nothing, lambda: emptied.append(stream.waiting))
    with served(stream):
        loop().call(stream.send, MUCH)
        loop().call(stream.send, b"end")
        assert loop().call(lambda: stream.waiting) > 0
        assert read(far, len(MUCH) + 3) == MUCH + b"end"
        assert in_time(lambda: emptied == [0])


def test_a_descriptor_that_was_let_go_is_not_touched(ends: tuple[socket.socket, socket.socket]) -> None:
    """Its number may be another file's by now."""
    near, far = ends
    stream = Stream(near.fileno(), nothing)
    with served(stream) as serving:
        loop().call(serving.cancel)
        assert in_time(serving.done)
        loop().call(stream.send, b"lost")
        far.setblocking(False)
        with pytest.raises(BlockingIOError):
            far.recv(64)


def test_end_that_nobody_reads_takes_everything_and_keeps_nothing() -> None:
    source, sink = os.pipe()
    os.close(source)
    stream = Stream(sink, nothing)
    loop().call(stream.send, b"lost")
    loop().call(stream.send, MUCH)
    assert stream.waiting == 0
    os.close(sink)


def test_readable_waits_for_something_to_read() -> None:
    number = os.eventfd(0)
    waiting = loop().start(readable(number))
    assert not waiting.done()
    os.eventfd_write(number, 1)
    ended(waiting)
    os.close(number)
