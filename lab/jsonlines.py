"""Files of JSON, one value a line (JSON Lines), written and read: a line that was cut is left out.

Whoever is killed in the middle of a line, or finds the disk full, leaves a part of one at the most, at the end.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

END = b"\n"


def append(file: FileIO, line: bytes) -> None:
    """Write a line, without its end, to an unbuffered file that is open for appending; one process may do so.

    OSError: the host does not let us; then nothing of the line is in the file, if the host allows at least that.
    """
    before = file.seek(0, os.SEEK_END)
    left = memoryview(line + END)
    try:
        while left:  # a disk that is nearly full takes a part
            left = left[file.write(left) or 0 :]
    except OSError:
        with contextlib.suppress(OSError):
            file.truncate(before)
        raise


def lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Give each whole line with its number, from 1; what was cut off at the end is left out. OSError: no such file."""
    *whole, _ = path.read_bytes().split(END)
    yield from enumerate(whole, 1)


def mend(path: Path) -> None:
    """Cut off what is left of a line at the end, so that the next one does not continue it."""
    data = path.read_bytes() if path.is_file() else b""
    if data and not data.endswith(END):
        os.truncate(path, data.rfind(END) + 1)
