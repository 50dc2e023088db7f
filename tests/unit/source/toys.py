"""What the tests of `lab.source` play with: a tiny tree in 2.3 shape, tarballs of it, and a mirror with bad manners."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from lab.journal import Journal
from lab.settings import Settings
from lab.source import obtain
from lab.source.catalogue import shape_of
from lab.source.tree import version_in

NAME = "2.3.99-pre3"
MAKEFILE = "VERSION = 2\nPATCHLEVEL = 3\nSUBLEVEL = 99\nEXTRAVERSION = -pre3\n\nall:\n"
OTHER = MAKEFILE.replace("pre3", "pre4")
Packing = Literal["", "gz", "bz2", "xz"]


def make_tree(folder: Path, makefile: str = MAKEFILE) -> Path:
    """Write every file that a whole tree must have, each with contents of its own."""
    shape = shape_of(version_in(makefile, str(folder)))
    assert shape is not None
    for name in shape.must_have:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"/* {name} */\n" * 20)
    (folder / "Makefile").write_text(makefile)
    return folder


def pack(tree: Path, tarball: Path, packing: Packing = "gz", top: str = "linux") -> Path:
    with tarfile.open(tarball, f"w:{packing}") as tar:  # type: ignore[call-overload]
        tar.add(tree, arcname=top)
    return tarball


Member = tuple[tarfile.TarInfo, bytes]


def file(name: str, data: bytes = b"") -> Member:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    return info, data


def special(name: str, kind: bytes, target: str = "") -> Member:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = target
    return info, b""


def raw_tar(members: list[Member]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


class Mirror:
    """A server on the loopback; `manners` says, request by request, how it misbehaves (then it behaves well)."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.manners: list[Callable[[Request, bytes], None]] = []
        self.asked: list[tuple[str, str]] = []
        self.done = threading.Event()
        self.etag = '"one"'
        mirror = self

        class Handler(Request):
            def respond(self) -> None:
                mirror.asked.append((self.path, self.headers.get("Range", "")))
                self.mirror = mirror
                data = mirror.files.get(self.path)
                if data is None:
                    self.send_error(404)
                elif mirror.manners:
                    mirror.manners.pop(0)(self, data)
                else:
                    well(self, data)

        class Server(ThreadingHTTPServer):
            def handle_error(self, request: object, client_address: object) -> None:
                """A client that went away is no error here."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.done.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Request(BaseHTTPRequestHandler):
    mirror: Mirror

    def do_GET(self) -> None:
        self.respond()

    def do_HEAD(self) -> None:
        self.respond()

    def respond(self) -> None:
        raise NotImplementedError

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing on stderr."""

    def head(self, code: int, **fields: object) -> None:
        self.send_response(code)
        for key, value in fields.items():
            self.send_header(key.replace("_", "-"), str(value))
        self.end_headers()


def well(request: Request, data: bytes) -> None:
    etag = request.mirror.etag
    start = request.headers.get("Range", "").removeprefix("bytes=").removesuffix("-")
    if start and request.headers.get("If-Range", etag) == etag:
        if int(start) >= len(data):
            request.head(416, Content_Range=f"bytes */{len(data)}")
            return
        first = int(start)
        where = f"bytes {first}-{len(data) - 1}/{len(data)}"
        request.head(206, Content_Length=len(data) - first, Content_Range=where, ETag=etag)
        request.wfile.write(data[first:])
    else:
        request.head(200, Content_Length=len(data), ETag=etag)
        request.wfile.write(data)


def breaks_off(request: Request, data: bytes) -> None:
    request.head(200, Content_Length=len(data), ETag=request.mirror.etag)
    request.wfile.write(data[: len(data) // 2])


def understates(request: Request, data: bytes) -> None:
    request.head(200, Content_Length=len(data) // 2)
    request.wfile.write(data)


def sends_page(request: Request, _data: bytes) -> None:
    request.head(200, Content_Type="text/html", Content_Length=13)
    request.wfile.write(b"<html></html>")


def sends_page_as_tarball(request: Request, _data: bytes) -> None:
    request.head(200, Content_Type="application/x-xz", Content_Length=13)
    request.wfile.write(b"<html></html>")


def ignores_range(request: Request, data: bytes) -> None:
    request.head(200, Content_Length=len(data))
    request.wfile.write(data)


def sends_other_range(request: Request, data: bytes) -> None:
    request.head(206, Content_Length=4, Content_Range=f"bytes 0-3/{len(data)}")
    request.wfile.write(data[:4])


def sends_rubbish_range(request: Request, data: bytes) -> None:
    first = int(request.headers["Range"].removeprefix("bytes=").removesuffix("-"))
    request.head(206, Content_Length=len(data) - first, Content_Range=f"bytes {first}-{len(data) - 1}/{len(data)}")
    request.wfile.write(bytes(len(data) - first))


def is_busy(request: Request, _data: bytes) -> None:
    request.send_error(503)


def falls_silent(request: Request, data: bytes) -> None:
    request.head(200, Content_Length=len(data))
    request.wfile.write(data[:10])
    request.mirror.done.wait(10)


def trickles(request: Request, data: bytes) -> None:
    request.head(200, Content_Length=len(data))
    for byte in data:
        request.wfile.write(bytes([byte]))
        if request.mirror.done.wait(0.02):
            return


def redirects(target: str) -> Callable[[Request, bytes], None]:
    def answer(request: Request, _data: bytes) -> None:
        request.head(302, Location=target, Content_Length=0)

    return answer


def flipped(data: bytes, where: int) -> bytes:
    return data[:where] + bytes([data[where] ^ 0x40]) + data[where + 1 :]


class Lab:
    """`obtain` with the settings of the test."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.events: list[dict[str, Any]] = []
        self.journal = Journal()
        self.journal.listen(self.events.append)

    def obtain(self, name: str | None = NAME, **options: Any) -> Any:
        return obtain(name, settings=self.settings, journal=self.journal, **options)

    def notes(self) -> str:
        return "\n".join(event["text"] for event in self.events if event["kind"] == "note")

    def left(self) -> set[str]:
        """What lies in the cache besides memos and locks."""
        cache = self.settings.cache
        found = {path.relative_to(cache).as_posix() for path in cache.glob("*/*")}
        return {name for name in found if "/.lock-" not in name and not name.endswith(".msgpack")}


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
