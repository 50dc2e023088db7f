"""A kernel's System.map, turned into names for addresses."""

from __future__ import annotations

import bisect
from pathlib import Path

import msgspec


class Place(msgspec.Struct, frozen=True):
    """A symbol and the bytes from its beginning; `size` is the distance to the next symbol."""

    symbol: str
    offset: int
    size: int

    def __str__(self) -> str:
        return f"{self.symbol}+{self.offset:#x}/{self.size:#x}"


class Symbols:
    """Addresses of a kernel's functions and data; an empty one knows no name."""

    def __init__(self, text: str = "") -> None:
        """Read the text of a System.map: `address type name` a line; other lines are left out."""
        parts = (line.split() for line in text.splitlines())
        entries = sorted((int(part[0], 16), part[1], part[2]) for part in parts if len(part) == 3 and len(part[1]) == 1)
        code = [entry for entry in entries if entry[1] in "tTwW"]
        self._starts = [address for address, _, _ in code]
        self._names = [name for _, _, name in code]
        self._end = next((address for address, _, name in entries if name == "_etext"), None)
        self._all = {name: address for address, _, name in entries}

    @classmethod
    def load(cls, path: Path | None) -> Symbols:
        """Read a System.map file; None and an unreadable file give no names."""
        try:
            return cls("" if path is None else path.read_text(encoding="ascii", errors="replace"))
        except OSError:
            return cls()

    def address(self, name: str) -> int | None:
        """Return the address of a symbol (for `pmemsave`, take off the kernel's base), or None."""
        return self._all.get(name)

    def place(self, address: int) -> Place | None:
        """Return the function that an address lies in; None outside of the kernel's text."""
        index = bisect.bisect_right(self._starts, address) - 1
        if index < 0 or (self._end is not None and address >= self._end):
            return None
        following = self._starts[index + 1] if index + 1 < len(self._starts) else self._end
        size = 0 if following is None else following - self._starts[index]
        return Place(self._names[index], address - self._starts[index], size)
