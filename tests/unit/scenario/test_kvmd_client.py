"""The Python side of the control device against kvmd/kvmdctl.h, and the calls that it makes."""

from __future__ import annotations

import re
import struct
from typing import cast

import pytest

from lab import resources
from lab.machine.agent import Worker
from lab.machine.kvmdctl import LAYOUTS, Command
from lab.scenario import kvmd
from lab.scenario.kvmd import Kvmd

HEADER = (resources.folder("kvmd") / "kvmdctl.h").read_text()
STRUCTURES = {
    "OPEN": "open",
    "CLOSE": "open",
    "ALLOC": "region",
    "FREE": "region",
    "MAP": "map",
    "UNMAP": "unmap",
    "FILL": "pattern",
    "VERIFY": "pattern",
    "PEEK": "word",
    "POKE": "word",
    "STATS": "stats",
}


class Recorder:
    """Stands in for a worker: answers each ioctl with the words that the test put there."""

    def __init__(self, *answers: tuple[int, ...]) -> None:
        self.answers = list(answers)
        self.calls: list[tuple[int, tuple[int, ...]]] = []

    def kvmd_ioctl(self, command: int, argument: bytes, deadline: float) -> bytes:
        assert deadline > 0
        self.calls.append((command, struct.unpack(f"<{len(argument) // 4}I", argument)))
        answer = self.answers.pop(0)
        return struct.pack(f"<{len(answer)}I", *answer)


def opened(*answers: tuple[int, ...]) -> tuple[Kvmd, Recorder]:
    recorder = Recorder(*answers)
    return Kvmd(cast("Worker", recorder)), recorder


@pytest.mark.parametrize(("name", "structure"), STRUCTURES.items())
def test_number_and_size_are_those_of_the_header(name: str, structure: str) -> None:
    number = re.search(rf"#define KVMDCTL_{name}\s+(0x[0-9a-f]+)", HEADER)
    body = re.search(rf"struct kvmdctl_{structure} {{(.*?)}};", HEADER, re.DOTALL)
    assert number is not None
    assert body is not None
    assert Command[name] == int(number[1], 16)
    assert LAYOUTS[Command[name]].size == 4 * body[1].count("kvmdctl_u32 ")


def test_statistics_have_the_headers_names_in_its_order() -> None:
    body = re.search(r"struct kvmdctl_stats {(.*?)};", HEADER, re.DOTALL)
    assert body is not None
    assert list(kvmd.KvmdStats.__struct_fields__) == re.findall(r"kvmdctl_u32 (\w+);", body[1])


def test_with_gives_back_in_the_opposite_order() -> None:
    device, recorder = opened((0, 3), (3, 0xB5000000, 8192), (3, 0xB5001000, 4096, 1, 9), (3, 9), (3, 1, 2), (0, 3))
    with device.open() as vmd, vmd.alloc(8192) as region, region.map(offset=4096):
        pass
    assert recorder.calls == [
        (Command.OPEN, (0, 0)),
        (Command.ALLOC, (3, 0, 8192)),
        (Command.MAP, (3, 0xB5001000, 4096, kvmd.CHANGE, 0)),
        (Command.UNMAP, (3, 9)),
        (Command.FREE, (3, 0xB5000000, 8192)),
        (Command.CLOSE, (0, 3)),
    ]


def test_failed_body_leaves_giving_back_to_the_kernel() -> None:
    device, recorder = opened((0, 3))
    with pytest.raises(ZeroDivisionError), device.open():
        raise ZeroDivisionError
    assert len(recorder.calls) == 1


def test_verdict_is_the_tail_of_the_structure() -> None:
    device, _ = opened((0, 0), (0, 4096, 4096), (0, 4096, 4096, 65536, 7, 2, 5, 4100, 11, 12))
    verdict = device.open().alloc(4096).verify(7, first_page=2)
    assert (verdict.bad_words, verdict.address, verdict.expected, verdict.found) == (5, 4100, 11, 12)
