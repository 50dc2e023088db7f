"""Wires on loopback: one that can be cut, or that just brings nothing any more; and one that is slow."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from types import TracebackType
from typing import Self

_SECONDS = 20.0


class Relay:
    """Takes one connection and forwards it to a port; use it in `with`."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._stop, self._stopped = socket.socketpair()
        self._thread = threading.Thread(target=self._forward)
        self._ends: list[socket.socket] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.freeze()
        for end in (*self._ends, self._listener, self._stop, self._stopped):
            end.close()

    def freeze(self) -> None:
        """Bring nothing any more, and tell nobody."""
        with contextlib.suppress(OSError):
            self._stop.send(b"!")
        self._thread.join(_SECONDS)

    def _forward(self) -> None:
        if self._listener not in select.select([self._listener, self._stopped], [], [])[0]:
            return
        here, _ = self._listener.accept()
        there = socket.create_connection(("127.0.0.1", self._to))
        self._ends = [here, there]
        while True:
            ready, _, _ = select.select([here, there, self._stopped], [], [])
            if self._stopped in ready:
                return
            for end in ready:
                data = end.recv(1 << 16)
                if not data:
                    return
                (there if end is here else here).sendall(data)


class SlowRelay:
    """Takes connections and forwards each to a port, at most so many bytes a second on the way there."""

    def __init__(self, port: int, rate: int) -> None:
        self._to = port
        self._rate = rate
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)  # what waits here is not held up
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen()
        self.port: int = self._listener.getsockname()[1]
        self.connections = 0
        self._ends: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for end in (self._listener, *self._ends):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        for thread in self._threads:
            thread.join(_SECONDS)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                here, _ = self._listener.accept()
                there = socket.create_connection(("127.0.0.1", self._to))
                self.connections += 1
                self._ends += [here, there]
                for ends, rate in (((here, there), self._rate), ((there, here), 0)):
                    self._threads.append(threading.Thread(target=self._forward, args=(*ends, rate)))
                    self._threads[-1].start()

    @staticmethod
    def _forward(source: socket.socket, target: socket.socket, rate: int) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 13):
                if rate:
                    time.sleep(len(data) / rate)
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
