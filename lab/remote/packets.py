"""Bytes on an SSH channel, to packets and back: many streams over one. And for how long a side may say nothing.

    kind (u8) | machine (u16) | length (u32) | payload          little endian

SSH itself sees to it that nothing is lost or damaged. Packets of one side arrive in their order, whatever they are.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum

import msgspec

from lab.errors import RemoteError

HEADER = struct.Struct("<BHI")
MOST = 1 << 30
HEARTBEAT_SECONDS = 1.0  # each side says something at least so often;
SILENCE_SECONDS = 30.0  # one that has said nothing for so long is lost (10 s without a processor were seen)


class Kind(IntEnum):
    """What a packet brings. The names of QEMU's sockets are those in lab.machine.qemu.SOCKETS, in upper case."""

    CONTROL = 0  # a message of lab.remote.messages
    QMP = 1
    CONSOLE = 2
    AGENT = 3
    WORDS = 4  # what QEMU prints
    ENDED = 5  # QEMU's exit status
    HEARTBEAT = 6


STATUS = struct.Struct("<i")


class Packet(msgspec.Struct, frozen=True):
    """One packet; `machine` is the number of the QEMU that it belongs to, 0 if to none."""

    kind: Kind
    machine: int = 0
    payload: bytes = b""

    def encode(self) -> bytes:
        """Return the packet as bytes."""
        return HEADER.pack(self.kind, self.machine, len(self.payload)) + self.payload


class PacketDecoder:
    """Takes bytes as they come, and gives whole packets."""

    def __init__(self) -> None:
        self._waiting = bytearray()

    def feed(self, data: bytes) -> Iterator[Packet]:
        """Yield the packets that are whole now; RemoteError: these bytes are none."""
        self._waiting += data
        while len(self._waiting) >= HEADER.size:
            kind, machine, length = HEADER.unpack_from(self._waiting)
            if kind not in Kind.__members__.values() or length > MOST:
                said = bytes(self._waiting[:80])
                raise RemoteError(f"the other side does not speak to the lab, but says {said!r}")
            end = HEADER.size + length
            if len(self._waiting) < end:
                return
            payload = bytes(self._waiting[HEADER.size : end])
            del self._waiting[:end]
            yield Packet(Kind(kind), machine, payload)
