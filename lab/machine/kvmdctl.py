"""The commands of kvmd's control device and the words that each takes and gives: kvmd/kvmdctl.h, for the host."""

from __future__ import annotations

import struct
from enum import IntEnum


class Command(IntEnum):
    """An ioctl's number."""

    OPEN = 0x4B00
    CLOSE = 0x4B01
    ALLOC = 0x4B02
    FREE = 0x4B03
    MAP = 0x4B04
    UNMAP = 0x4B05
    FILL = 0x4B06
    VERIFY = 0x4B07
    PEEK = 0x4B08
    POKE = 0x4B09
    STATS = 0x4B0A
    GROW = 0x4B0B
    SHRINK = 0x4B0C


_WORDS = {
    Command.OPEN: 2,
    Command.CLOSE: 2,
    Command.ALLOC: 3,
    Command.FREE: 3,
    Command.MAP: 5,
    Command.UNMAP: 2,
    Command.FILL: 10,
    Command.VERIFY: 10,
    Command.PEEK: 4,
    Command.POKE: 4,
    Command.STATS: 12,
    Command.GROW: 4,
    Command.SHRINK: 4,
}
LAYOUTS = {command: struct.Struct(f"<{words}I") for command, words in _WORDS.items()}


def command_name(number: int) -> str:
    """Return what a command is called; an unknown one, as a test of wrong arguments sends it, in hexadecimal."""
    return Command(number).name.lower() if number in Command.__members__.values() else f"{number:#x}"
