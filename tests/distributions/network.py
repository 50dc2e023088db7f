"""The way out of a network namespace: a proxy on its loopback that knows package sources and nothing else."""

from __future__ import annotations

import contextlib
import ctypes
import http.client
import http.server
import os
import select
import socket
import subprocess
import threading
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

PORT = 3128
ADDRESS = f"http://127.0.0.1:{PORT}"
SECONDS = 120.0  # without a byte from the other side
_PIECE = 1 << 16
_CLONE_NEWNET = 0x40000000
_ONE_HOP = {"connection", "proxy-connection", "keep-alive", "transfer-encoding", "te", "upgrade"}
_LIBC = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def inside(network: Path) -> Iterator[None]:
    """Have this thread in another network namespace; a socket stays where it was made."""
    with Path("/proc/thread-self/ns/net").open("rb") as own, network.open("rb") as other:
        _enter(other.fileno())
        try:
            yield
        finally:
            _enter(own.fileno())


def _enter(namespace: int) -> None:
    if _LIBC.setns(namespace, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "entering a network namespace")


class PackageSources:
    """The proxy; use it in `with`. `allowed` are names of hosts; what else is asked for ends up in `refused`."""

    def __init__(self, network: Path, allowed: Collection[str]) -> None:
        self.refused: list[str] = []
        handler = type("Handler", (_Handler,), {"allowed": allowed, "refused": self.refused})
        with inside(network):
            self._server = http.server.ThreadingHTTPServer(("127.0.0.1", PORT), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(http.server.BaseHTTPRequestHandler):
    """One connection to the proxy."""

    protocol_version = "HTTP/1.1"
    timeout = SECONDS
    allowed: Collection[str] = ()
    refused: list[str]

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the library
        pass

    def may_pass(self, host: str | None) -> bool:
        if host in self.allowed:
            return True
        self.refused.append(f"{self.command} {self.path}")
        self.send_error(403, "no package source")
        return False

    def do_CONNECT(self) -> None:
        host, _, port = self.path.rpartition(":")
        self.close_connection = True
        if self.may_pass(host):
            with socket.create_connection((host, int(port)), SECONDS) as there:
                self.send_response(200)
                self.end_headers()
                _relay(self.connection, there)

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if not self.may_pass(url.hostname):
            return
        there = http.client.HTTPConnection(url.hostname or "", url.port or 80, timeout=SECONDS)
        with contextlib.closing(there):
            kept = {name: value for name, value in self.headers.items() if name.lower() not in _ONE_HOP}
            there.request(self.command, f"{url.path}?{url.query}" if url.query else url.path, headers=kept)
            self.pass_on(there.getresponse())

    def pass_on(self, answer: http.client.HTTPResponse) -> None:
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in _ONE_HOP:
                self.send_header(name, value)
        if answer.length is None:  # then only the connection's end says where it ends
            self.send_header("Connection", "close")
        self.end_headers()
        while piece := answer.read(_PIECE):
            self.wfile.write(piece)


def _relay(here: socket.socket, there: socket.socket) -> None:
    """Pass bytes on in both directions until one side ends, or neither says anything for long."""
    other = {here: there, there: here}
    while ready := select.select(list(other), [], [], SECONDS)[0]:
        for one in ready:
            piece = one.recv(_PIECE)
            if not piece:
                return
            other[one].sendall(piece)


def host_of(address: str) -> str:
    """Return the name of the host in an address."""
    return urlsplit(address).hostname or os.fspath(address)


def apt_source() -> str:
    """Return the address that this host has Debian's own packages from."""
    argv = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Label: Debian"]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    addresses = done.stdout.split()
    assert addresses, "apt knows no source of Debian's packages here; name one with --mirror"
    return addresses[0].rstrip("/")


def pip_hosts() -> tuple[str, str]:
    """Return the hosts of pip's own index and of its files."""
    from pip._internal.models.index import PyPI

    return PyPI.netloc, PyPI.file_storage_domain
