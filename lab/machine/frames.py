"""Bytes on the agent's serial line, to frames and back.

    C3 96 | payload length, seq, op, task (u16 each) | CRC-32 of these 8 bytes | payload | CRC-32 of the payload

All numbers are little endian, the CRC is zlib's. The header has a CRC of its own, so that a damaged length is found at
once and never makes the receiver wait. The guest's half is images/src/frame.c; both follow the same rules:

- a sync mark whose header or payload turns out damaged is given up, and the hunt goes on at its second byte (bytes
  may have been lost, so the next frame may begin inside what looked like this one's payload);
- a frame that lost its tail leaves the receiver waiting for it. Nothing here runs on a timer, since under QEMU's
  virtual time an idle guest's timers expire at once: the host, when a request has run into its deadline, sends FLUSH
  (which the agent takes for the missing tail, and refuses) and calls `FrameDecoder.expire` on its own side.
- nothing is ever sent twice: a request without a reply is an error, and whether it was carried out is not known.
"""

from __future__ import annotations

import struct
import zlib

import msgspec

SYNC = b"\xc3\x96"
HEADER = struct.Struct("<2sHHHHI")
MAX_PAYLOAD = 2048  # of a reply
OVERHEAD = HEADER.size + 4
MAX_FRAME = MAX_PAYLOAD + OVERHEAD
# Bytes that may be under way to the guest at once. A wire has a speed, QEMU's has none: all bytes that wait come in
# during a single interrupt. 2.3.99-pre3 holds 512 and loses what comes beyond, when the interrupt finds the agent in
# the middle of reading (drivers/char/tty_io.c, flush_to_ldisc, TTY_DONT_FLIP).
MAX_UNREAD = 512
MAX_REQUEST = 448  # bytes of a request's payload: it fits into that, and a ping behind it
FLUSH = b"U" * (MAX_REQUEST + OVERHEAD)


class Frame(msgspec.Struct, frozen=True):
    """One message; a reply repeats its request's `seq`, `op` and `task`, and its payload begins with an s32 status."""

    seq: int
    op: int
    task: int
    payload: bytes = b""


def encode(seq: int, op: int, task: int, payload: bytes = b"") -> bytes:
    """Return a frame as bytes; a number above 65535 or a payload above MAX_PAYLOAD bytes is a ValueError."""
    if len(payload) > MAX_PAYLOAD:
        raise ValueError(f"a payload of {len(payload)} bytes does not fit into a frame ({MAX_PAYLOAD})")
    try:
        numbers = struct.pack("<HHHH", len(payload), seq, op, task)
    except struct.error as error:
        raise ValueError(f"seq {seq}, op {op}, task {task}: not all are 16-bit numbers") from error
    return b"".join((SYNC, numbers, _crc(numbers), payload, _crc(payload)))


class FrameDecoder:
    """Finds the frames in a stream of bytes, whatever else is in it.

    `frames` counts the good ones, `dropped` the sync marks given up, `skipped` the bytes that belong to no frame.
    """

    def __init__(self) -> None:
        self.frames = 0
        self.dropped = 0
        self.skipped = 0
        self._buffer = bytearray()

    @property
    def pending(self) -> int:
        """Bytes that are held because they may begin a frame."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[Frame]:
        """Return the frames that `data` completes, in their order."""
        self._buffer += data
        return self._take_all()

    def expire(self) -> list[Frame]:
        """Give up a frame whose tail is missing, and return the whole ones that arrived behind its beginning."""
        found: list[Frame] = []
        while self._buffer:
            self._give_up()
            found += self._take_all()
        return found

    def _take_all(self) -> list[Frame]:
        found: list[Frame] = []
        while self._hunt() and len(self._buffer) >= HEADER.size:
            end = self._end()
            if end is not None and end > len(self._buffer):
                break
            frame = None if end is None else self._frame(end)
            if frame is None:
                self._give_up()
                continue
            found.append(frame)
            del self._buffer[:end]
        self.frames += len(found)
        return found

    def _hunt(self) -> bool:
        """Skip to the next sync mark, or to a last byte that may begin one; False when the buffer is empty then."""
        place = self._buffer.find(SYNC)
        if place < 0:
            place = len(self._buffer) - self._buffer.endswith(SYNC[:1])
        self.skipped += place
        del self._buffer[:place]
        return bool(self._buffer)

    def _end(self) -> int | None:
        """Return the length of the frame at the buffer's beginning; None when its header is damaged."""
        length = int.from_bytes(self._buffer[2:4], "little")
        good = self._buffer[10:14] == _crc(self._buffer[2:10]) and length <= MAX_PAYLOAD
        return OVERHEAD + length if good else None

    def _frame(self, end: int) -> Frame | None:
        """Return the frame of `end` bytes at the buffer's beginning; None when its payload is damaged."""
        payload = bytes(self._buffer[HEADER.size : end - 4])
        if self._buffer[end - 4 : end] != _crc(payload):
            return None
        _, _, seq, op, task, _ = HEADER.unpack_from(self._buffer)
        return Frame(seq, op, task, payload)

    def _give_up(self) -> None:
        self.dropped += self._buffer.startswith(SYNC)
        self.skipped += 1
        del self._buffer[:1]


def _crc(data: bytes | bytearray) -> bytes:
    return zlib.crc32(data).to_bytes(4, "little")
