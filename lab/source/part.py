"""A download that is not whole yet: FILE.part, with FILE.part.json beside it that says what it is a part of."""

from __future__ import annotations

import contextlib
from pathlib import Path

import msgspec


class Ticket(msgspec.Struct, frozen=True):
    """What the server said of the file when it sent the first byte: `validator` is an ETag or a date, or empty."""

    url: str
    validator: str
    length: int | None


class Part:
    """The bytes that are there, kept so that the next attempt, or the next run, goes on after them."""

    def __init__(self, target: Path) -> None:
        """`target` is the path of the whole file."""
        self.target = target
        self.path = target.with_name(target.name + ".part")
        self._ticket = target.with_name(target.name + ".part.json")

    @property
    def size(self) -> int:
        """How many bytes are there."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    def ticket(self) -> Ticket | None:
        """Return what is known of the whole file; without it the bytes are worth nothing."""
        try:
            return msgspec.json.decode(self._ticket.read_bytes(), type=Ticket)
        except (OSError, msgspec.DecodeError):
            return None

    def begin(self, ticket: Ticket) -> None:
        """Throw away what is there and start a file of that kind."""
        self.discard()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._ticket.write_bytes(msgspec.json.encode(ticket))

    def discard(self) -> None:
        """Remove what is there."""
        for path in (self.path, self._ticket):
            with contextlib.suppress(FileNotFoundError):
                path.unlink()

    def finish(self) -> Path:
        """Give the whole file its name."""
        self.path.replace(self.target)
        self._ticket.unlink(missing_ok=True)
        return self.target
