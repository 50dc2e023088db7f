"""A tarball's bytes, unpacked piece by piece under limits: what a hostile or broken file can do ends here.

The packing is told by the first bytes, never by the name.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable
from typing import BinaryIO, Protocol

import msgspec

MAGIC = {"xz": b"\xfd7zXZ\x00", "gz": b"\x1f\x8b", "bz2": b"BZh"}
_PIECE = 1 << 16
_DRAIN = 1 << 20


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How much a tarball may ask for: bytes, members, and bytes unpacked for each packed one.

    A 2.3 tree is 90 MB in 7,000 members and packs 1:6; a tree of today 1.5 GB in 90,000. `free` bytes may be unpacked
    before the ratio counts, `header` is for what describes one member, `memory` for an xz decoder's dictionary.
    """

    total: int = 4 << 30
    one_file: int = 256 << 20
    members: int = 250_000
    ratio: int = 100
    free: int = 32 << 20
    header: int = 256 << 10
    memory: int = 256 << 20


class BadPackingError(Exception):
    """The bytes cannot be unpacked, or not within the limits; the one who unpacks says where that was."""


class _Decoder(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1, /) -> bytes: ...


class _Gunzip:
    """zlib's decoder with the interface of those for bz2 and xz."""

    def __init__(self) -> None:
        self._decoder = zlib.decompressobj(wbits=31)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._decoder.eof

    @property
    def unused_data(self) -> bytes:
        return self._decoder.unused_data

    def decompress(self, data: bytes, max_length: int = -1, /) -> bytes:
        out = self._decoder.decompress(self._decoder.unconsumed_tail + data, max_length)
        self.needs_input = len(out) < max_length and not self._decoder.unconsumed_tail
        return out


def _decoder(start: bytes, limits: Limits) -> _Decoder | None:
    if start.startswith(MAGIC["xz"]):
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=limits.memory)
    if start.startswith(MAGIC["gz"]):
        return _Gunzip()
    if start.startswith(MAGIC["bz2"]):
        return bz2.BZ2Decompressor()
    return None


class Unpacked:
    """The unpacked bytes of a file as something that reads forward only; what is wrong raises BadPackingError.

    `allow` is the position up to which may be read; `block` is what the last `read` gave.
    """

    def __init__(self, file: BinaryIO, size: int, limits: Limits, progress: Callable[[int, int], None]) -> None:
        """`size` is the packed file's; `progress` is called now and then with the packed bytes done, and `size`."""
        self._file = file
        self._size = size
        self._limits = limits
        self._progress = progress
        start = file.read(_PIECE)
        self._decoder = _decoder(start, limits)
        self._plain = self._decoder is None
        self._waiting = start
        self._taken = 0
        self._made = 0
        self._ready = bytearray()
        self._position = 0
        self._ended = False
        self.allow = limits.total
        self.block = b""

    def tell(self) -> int:
        """Return the position in the unpacked bytes."""
        return self._position

    def seek(self, position: int) -> None:
        """Skip forward."""
        if position < self._position:
            raise BadPackingError("the archive points backward")
        while self._position < position:
            if not self.read(min(_DRAIN, position - self._position)):
                raise BadPackingError("it is cut off within this member")

    def read(self, count: int) -> bytes:
        """Return `count` bytes, fewer only at the end of the file."""
        if count < 0 or self._position + count > self.allow:
            raise BadPackingError("more bytes than any kernel's tarball has in this place: it may be a bomb")
        while len(self._ready) < count and not self._ended:
            self._ready += self._more(max(_PIECE, count - len(self._ready)))
        self.block = bytes(self._ready[:count])
        del self._ready[:count]
        self._position += len(self.block)
        return self.block

    def drain(self) -> None:
        """Read to the end, where only zero bytes may be."""
        self.allow = self._limits.total
        while piece := self.read(min(_DRAIN, self.allow - self._position)):
            if any(piece):
                raise BadPackingError("there are bytes after its end that belong to no member")
        if not self._ended:
            raise BadPackingError(f"it is larger than {self._limits.total >> 20} MiB: it may be a bomb")

    def _more(self, count: int) -> bytes:
        try:
            out = self._plain_piece() if self._plain else self._decoded_piece(count)
        except (zlib.error, lzma.LZMAError, EOFError, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # the disk's trouble, not the file's
            raise BadPackingError(f"its packed data are damaged ({error})") from error
        self._made += len(out)
        if self._made > self._limits.free and self._made > self._limits.ratio * self._taken:
            raise BadPackingError(f"it unpacks to more than {self._limits.ratio} times its size: it may be a bomb")
        return out

    def _input(self) -> bytes:
        piece = self._waiting or self._file.read(_PIECE)
        self._waiting = b""
        self._taken += len(piece)
        self._progress(min(self._taken, self._size), self._size)
        return piece

    def _plain_piece(self) -> bytes:
        piece = self._input()
        self._ended = not piece
        return piece

    def _decoded_piece(self, count: int) -> bytes:
        assert self._decoder is not None
        if self._decoder.eof:
            self._next_stream()
            if self._ended:
                return b""
        piece = b""
        if self._decoder.needs_input:
            piece = self._input()
            if not piece:
                raise BadPackingError("its packed data are cut off")
        return self._decoder.decompress(piece, count)

    def _next_stream(self) -> None:
        """After one packed stream there may be another (parallel packers make many), padding zeros, or nothing."""
        assert self._decoder is not None
        rest = self._decoder.unused_data.lstrip(b"\0")
        while not rest:
            piece = self._input()
            if not piece:
                self._ended = True
                return
            rest = piece.lstrip(b"\0")
        if len(rest) < len(MAGIC["xz"]):
            rest += self._input()
        following = _decoder(rest, self._limits)
        if following is None:
            raise BadPackingError("there are foreign bytes after its packed data")
        self._decoder = following
        self._taken -= len(rest)
        self._waiting = rest
