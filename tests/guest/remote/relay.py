"""A wire on loopback that can be cut, or that just brings nothing any more."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
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
