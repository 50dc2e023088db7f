"""A release's name on the mirrors, turned into a tarball in the cache that was checked before it got its name.

Mirrors are asked in turn. What a mirror says is not believed: it may send a page, another file, half a file, or the
whole file where the rest was asked for; whatever it was, the next one is asked and the error tells all of it.
"""

from __future__ import annotations

import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import httpx
import msgspec

from lab.cache import file_digest
from lab.errors import DownloadError, SourceError
from lab.host_trouble import host_trouble
from lab.journal import Journal
from lab.source.packed import MAGIC
from lab.source.part import Part, Ticket

_REPORT = 0.1
_LARGEST = 1 << 30
_REDIRECTS = 5
_AGAIN = {408, 425, 429, 500, 502, 503, 504}
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds to wait for a connection, for the next bytes, before the second round, and in all.

    A mirror that sends less than `trickle` bytes within `silence` seconds counts as one that stopped.
    """

    connect: float = 10.0
    silence: float = 30.0
    trickle: int = 16 << 10
    pause: float = 0.5
    rounds: int = 4
    total: float = 3600.0


class Refused(Exception):
    """The mirror does not have the file, or gives another one: there is no use in asking it again."""


class Interrupted(Exception):
    """The transfer broke; asking again may help."""


class Unreachable(Interrupted):
    """There is no server; its other files need not be asked for now."""


class Download:
    """One release that is being fetched: `files` are its packings, `mirrors` the bases to which they are relative.

    `check` gets the whole file and its SHA-256 before the file gets its name; a SourceError of it means that the
    mirror's file is no good.
    """

    def __init__(
        self,
        files: Sequence[str],
        mirrors: Sequence[str],
        folder: Path,
        *,
        check: Callable[[Path, str], None],
        journal: Journal,
        sha256: str | None = None,
        patience: Patience | None = None,
    ) -> None:
        self._files = files
        self._mirrors = mirrors
        self._folder = folder
        self._check = check
        self._journal = journal
        self._sha256 = sha256
        self._patience = patience or Patience()
        self._hosts = {_host(mirror) for mirror in mirrors}
        self._said: dict[str, str] = {}
        self._end = 0.0

    def fetch(self) -> tuple[Path, str]:
        """Return the tarball's path and the address it came from; DownloadError lists what each mirror said."""
        wait = self._patience
        self._end = time.monotonic() + wait.total
        limits = httpx.Timeout(wait.silence, connect=wait.connect)
        alive = [(mirror, file) for mirror in self._mirrors for file in self._files]
        headers = {"User-Agent": "kvmd-lab", "Accept-Encoding": "identity"}
        with httpx.Client(timeout=limits, headers=headers, verify=_certificates()) as client:
            for turn in range(wait.rounds):
                found = self._round(client, alive)
                if found is not None:
                    return found
                left = self._end - time.monotonic()
                if not alive or left <= 0 or turn + 1 == wait.rounds:
                    break
                threading.Event().wait(min(left, wait.pause * 2**turn))
        raise DownloadError(
            "no mirror gave it",
            doing=f"downloading {Path(self._files[0]).stem}",
            seen=[f"{url}: {answer}" for url, answer in self._said.items()],
            hint="look at the network; or give a tree or tarball with --tree, a folder of them in KVMD_LAB_TREES, "
            "or other mirrors in KVMD_LAB_MIRRORS",
        )

    def _round(self, client: httpx.Client, alive: list[tuple[str, str]]) -> tuple[Path, str] | None:
        """Ask each mirror that is still of use once."""
        dead = set()
        for mirror, file in list(alive):
            if mirror in dead:
                continue
            url = f"{mirror}/{file}"
            try:
                with host_trouble(f"downloading {url}"):
                    return self._get(client, url, Part(self._folder / Path(file).name)), url
            except Refused as answer:
                alive.remove((mirror, file))
                self._note(url, answer)
            except Unreachable as answer:
                dead.add(mirror)
                self._note(mirror, answer)
            except Interrupted as answer:
                self._note(url, answer)
        return None

    def _note(self, url: str, answer: Exception) -> None:
        self._said[url] = str(answer)
        self._journal.record("note", text=f"{url}: {answer}")

    def _get(self, client: httpx.Client, url: str, part: Part) -> Path:
        """Fetch and check one address; bytes that came in several pieces and do not fit are fetched anew at once."""
        try:
            while True:
                resumed = self._transfer(client, url, part)
                try:
                    self._verify(part)
                    return part.finish()
                except Refused:
                    part.discard()
                    if not resumed:
                        raise
        except OSError:
            part.discard()  # the disk is full or worse: give the space back
            raise

    def _verify(self, part: Part) -> None:
        actual = file_digest(part.path)
        if self._sha256 is not None and actual != self._sha256:
            raise Refused(f"its SHA-256 is {actual}, not {self._sha256}")
        try:
            self._check(part.path, actual)
        except SourceError as error:
            raise Refused(error.what) from error

    def _transfer(self, client: httpx.Client, url: str, part: Part) -> bool:
        """Bring the part up to the whole file; tell whether it consists of more than one answer's bytes."""
        ticket = part.ticket()
        if ticket is None:
            part.discard()
        have = part.size
        if ticket is not None and have and have == ticket.length:
            return True  # whole already; an earlier run ended while it was being checked
        headers = {}
        if ticket is not None and have:
            headers["Range"] = f"bytes={have}-"
            if ticket.url == url and ticket.validator:
                headers["If-Range"] = ticket.validator
        try:
            with self._open(client, url, headers) as response:
                resumed = self._accept(response, url, part, ticket)
                try:
                    self._receive(response, part)
                except Refused:
                    part.discard()
                    raise
        except httpx.UnsupportedProtocol as error:
            raise Refused(f"not an http or https address ({error})") from error
        except httpx.InvalidURL as error:
            raise Refused(f"not an address ({error})") from error
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise Unreachable(f"cannot be reached ({error or type(error).__name__})") from error
        except httpx.TransportError as error:
            raise Interrupted(f"the transfer broke ({error or type(error).__name__})") from error
        return resumed

    @contextmanager
    def _open(self, client: httpx.Client, url: str, headers: dict[str, str]) -> Iterator[httpx.Response]:
        """Ask for an address, following redirects that stay on the mirrors' hosts."""
        for _ in range(_REDIRECTS + 1):
            with client.stream("GET", url, headers=headers) as response:
                if response.next_request is None:
                    yield response
                    return
                url = self._allowed(url, response.next_request.url)
        raise Refused(f"more than {_REDIRECTS} redirects")

    def _allowed(self, url: str, target: httpx.URL) -> str:
        if target.scheme not in ("http", "https") or (target.scheme == "http" and url.startswith("https:")):
            raise Refused(f"redirected to {target}, which is not {'https' if url.startswith('https:') else 'http'}")
        if target.host not in self._hosts:
            raise Refused(f"redirected to {target.host}, which is none of the mirrors")
        return str(target)

    def _accept(self, response: httpx.Response, url: str, part: Part, ticket: Ticket | None) -> bool:
        """Make the part ready for an answer's body, or refuse the answer; tell whether it goes on after old bytes."""
        code = response.status_code
        if code == 416:
            part.discard()
            raise Interrupted("has nothing after what is here; starting anew")
        if code in _AGAIN:
            raise Interrupted(f"{code} {response.reason_phrase}")
        if code not in (200, 206):
            raise Refused(f"{code} {response.reason_phrase}")
        if response.headers.get("content-type", "").startswith("text/html"):
            raise Refused("a web page instead of the tarball")
        if code == 206:
            self._accept_range(response, part, ticket)
            return True
        length = _number(response.headers.get("content-length"))
        if length is not None and length > _LARGEST:
            raise Refused(f"{length} bytes, more than any kernel")
        part.begin(Ticket(url, _validator(response), length))
        return False

    @staticmethod
    def _accept_range(response: httpx.Response, part: Part, ticket: Ticket | None) -> None:
        answer = _RANGE.fullmatch(response.headers.get("content-range", ""))
        whole = ticket.length if ticket is not None else None
        if not part.size or answer is None or int(answer[1]) != part.size or _number(answer[2]) != whole:
            part.discard()
            raise Interrupted("sent another part than was asked for, or of another file; starting anew")

    def _receive(self, response: httpx.Response, part: Part) -> None:
        """Append the body to the part."""
        ticket = part.ticket()
        length = None if ticket is None else ticket.length
        pace = _Pace(self._patience, self._end)
        name = part.target.name
        reported = 0.0
        done = part.size
        with part.path.open("ab", buffering=0) as file:
            for piece in response.iter_raw():  # as it comes, so that nothing is lost when it breaks
                if done == 0:
                    _check_magic(name, piece)
                done += len(piece)
                if done > (_LARGEST if length is None else length):
                    raise Refused("more bytes than it announced")
                file.write(piece)
                now = time.monotonic()
                pace.check(now, len(piece))
                if now - reported > _REPORT or done == length:
                    reported = now
                    self._journal.record("progress", name=name, done=done, total=length)
        if length is not None and done != length:
            raise Interrupted(f"ended after {done} of {length} bytes")


class _Pace:
    """Notices a transfer that is past the deadline or only trickles."""

    def __init__(self, patience: Patience, end: float) -> None:
        self._patience = patience
        self._end = end
        self._since = time.monotonic()
        self._count = 0

    def check(self, now: float, count: int) -> None:
        self._count += count
        if now > self._end:
            raise Interrupted(f"not done within {self._patience.total:.0f} s")
        if now - self._since > self._patience.silence:
            if self._count < self._patience.trickle:
                raise Interrupted(f"only {self._count} bytes in {now - self._since:.0f} s")
            self._since, self._count = now, 0


def _check_magic(name: str, start: bytes) -> None:
    packing = name.rpartition(".")[2]
    magic = MAGIC.get(packing, b"")
    if start[: len(magic)] != magic[: len(start)]:
        what = "a web page" if start.lstrip()[:1] == b"<" else "something else"
        raise Refused(f"{what} instead of the tarball: it does not begin as a .{packing} file does")


def _validator(response: httpx.Response) -> str:
    """Return what If-Range takes: a strong ETag, or else the date of the last change."""
    etag = str(response.headers.get("etag", ""))
    return etag if etag and not etag.startswith("W/") else str(response.headers.get("last-modified", ""))


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() else None


def _host(mirror: str) -> str:
    try:
        return httpx.URL(mirror).host
    except httpx.InvalidURL:
        return ""


@cache
def _certificates() -> ssl.SSLContext:
    """The authorities that are trusted; they take a while to read, so once."""
    return httpx.create_ssl_context()


def answers(mirror: str, seconds: float) -> bool:
    """Tell whether a mirror answers a HEAD of its base with a success."""
    try:
        return httpx.head(f"{mirror}/", timeout=seconds, verify=_certificates()).is_success
    except (httpx.HTTPError, httpx.InvalidURL):
        return False
