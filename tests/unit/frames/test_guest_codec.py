"""The guest's C, compiled for this host, against the Python that must agree with it."""

from __future__ import annotations

import ctypes
import random
import re
import subprocess

import pytest

from lab.machine import pattern, protocol
from lab.machine.frames import MAX_FRAME, MAX_PAYLOAD, OVERHEAD, Frame, FrameDecoder, encode
from lab.resources import folder

SOURCES = folder("images") / "src"


class CFrame(ctypes.Structure):
    _fields_ = (
        ("seq", ctypes.c_uint16),
        ("op", ctypes.c_uint16),
        ("task", ctypes.c_uint16),
        ("length", ctypes.c_uint16),
        ("payload", ctypes.POINTER(ctypes.c_uint8)),
    )


class CDecoder(ctypes.Structure):
    _fields_ = (
        ("frames", ctypes.c_uint32),
        ("dropped", ctypes.c_uint32),
        ("skipped", ctypes.c_uint32),
        ("used", ctypes.c_uint32),
        ("taken", ctypes.c_uint32),
        ("buffer", ctypes.c_uint8 * MAX_FRAME),
    )


class CVerdict(ctypes.Structure):
    _fields_ = (
        ("bad_words", ctypes.c_uint32),
        ("first_bad", ctypes.c_void_p),
        ("expected", ctypes.c_uint32),
        ("found", ctypes.c_uint32),
    )


class GuestDecoder:
    """`FrameDecoder`, done by the guest's C."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.library = library
        self.state = CDecoder()

    def feed(self, data: bytes) -> list[Frame]:
        found: list[Frame] = []
        while data:
            room = ctypes.c_uint32()
            place = self.library.decoder_room(ctypes.byref(self.state), ctypes.byref(room))
            assert room.value > 0
            piece, data = data[: room.value], data[room.value :]
            ctypes.memmove(place, piece, len(piece))
            self.library.decoder_received(ctypes.byref(self.state), len(piece))
            found += self._take()
        return found

    def _take(self) -> list[Frame]:
        found, frame = [], CFrame()
        while self.library.decoder_next(ctypes.byref(self.state), ctypes.byref(frame)):
            payload = ctypes.string_at(frame.payload, frame.length)
            found.append(Frame(frame.seq, frame.op, frame.task, payload))
        return found


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    out = tmp_path_factory.mktemp("guest") / "guest.so"
    words = ["gcc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-ffreestanding", "-fPIC", "-shared"]
    words += ["-I", str(SOURCES), "-I", str(folder("kvmd")), str(SOURCES / "frame.c"), str(SOURCES / "pattern.c")]
    subprocess.run([*words, "-o", str(out)], check=True)
    loaded = ctypes.CDLL(str(out))
    loaded.decoder_room.restype = ctypes.c_void_p
    return loaded


def guest_encode(library: ctypes.CDLL, frame: Frame) -> bytes:
    out = ctypes.create_string_buffer(MAX_FRAME)
    ctypes.memmove(ctypes.byref(out, OVERHEAD - 4), frame.payload, len(frame.payload))
    size = library.frame_seal(out, frame.seq, frame.op, frame.task, len(frame.payload))
    return out.raw[:size]


def some_frame(dice: random.Random) -> Frame:
    size = dice.choice((0, 1, 4, dice.randrange(64), dice.randrange(MAX_PAYLOAD + 1), MAX_PAYLOAD))
    seq, op, task = (dice.randrange(1 << 16) for _ in range(3))
    return Frame(seq, op, task, dice.randbytes(size))


def spoil(dice: random.Random, raw: bytes) -> bytes:
    """Return a frame's bytes with one thing wrong that the line can do to them."""
    place, end = dice.randrange(len(raw)), dice.randrange(1, len(raw) + 1)
    return dice.choice(
        (
            raw[:place],
            raw[place + 1 :],
            raw[:place] + bytes([raw[place] ^ dice.randrange(1, 256)]) + raw[place + 1 :],
            raw[: min(place, end)] + raw[max(place, end) :] if place != end else raw[1:],
            raw[:end] + dice.choice((b"\xc3\x96", b"\xc3", b"x")) + raw[end:] if end < len(raw) else raw[:-1],
        )
    )


def garbage(dice: random.Random) -> bytes:
    return dice.choice((b"", b"\xc3", b"\xc3\x96", b"\xc3\xc3\x96", dice.randbytes(dice.randrange(40)), b"\0" * 5))


def pieces(dice: random.Random, stream: bytes) -> list[bytes]:
    cuts = sorted(dice.randrange(len(stream) + 1) for _ in range(dice.randrange(1, 60)))
    return [stream[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]


def spoilt_stream(dice: random.Random, library: ctypes.CDLL) -> tuple[bytes, list[Frame]]:
    """Return a stream with damage, and the frames that are in it byte for byte, in their order."""
    stream, sent = b"", []
    for _ in range(40):
        frame = some_frame(dice)
        raw = dice.choice((guest_encode(library, frame), encode(frame.seq, frame.op, frame.task, frame.payload)))
        sent.append((frame, raw))
        stream += garbage(dice) + (spoil(dice, raw) if dice.random() < 0.4 else raw)
    whole, cursor = [], 0
    for frame, raw in sent:
        place = stream.find(raw, cursor)
        if place >= 0:
            whole.append(frame)
            cursor = place + len(raw)
    return stream + b"U" * MAX_FRAME, whole


@pytest.mark.parametrize("run", range(60))
def test_damaged_stream_gives_both_ends_exactly_the_whole_frames(library: ctypes.CDLL, run: int) -> None:
    dice = random.Random(run)
    stream, whole = spoilt_stream(dice, library)
    guest, host = GuestDecoder(library), FrameDecoder()
    by_guest, by_host = [], []
    for piece in pieces(dice, stream):
        by_guest += guest.feed(piece)
        by_host += host.feed(piece)
        state = guest.state
        figures = (state.frames, state.dropped, state.skipped, state.used)
        assert figures == (host.frames, host.dropped, host.skipped, host.pending)
    assert by_guest == by_host == whole


def test_both_ends_write_the_same_bytes(library: ctypes.CDLL) -> None:
    frame = Frame(0x1234, 0x5678, 0x9ABC, b"payload")
    assert guest_encode(library, frame) == encode(frame.seq, frame.op, frame.task, frame.payload)


def test_length_above_the_largest_is_refused_even_with_a_good_header(library: ctypes.CDLL) -> None:
    out = ctypes.create_string_buffer(MAX_FRAME + 1)
    library.frame_seal(out, 1, 2, 3, MAX_PAYLOAD + 1)
    guest, host = GuestDecoder(library), FrameDecoder()
    assert guest.feed(out.raw) == host.feed(out.raw) == []
    assert guest.state.dropped == host.dropped == 1


@pytest.mark.parametrize("under", [0, 1, 0x80000000, 0xFFFFFFFF])
@pytest.mark.parametrize("number", [0, 1, 4095, 0xFFFFFFFF])
def test_pattern_of_a_page_is_the_same_in_c_and_python(library: ctypes.CDLL, under: int, number: int) -> None:
    memory = ctypes.create_string_buffer(2 * pattern.PAGE_SIZE)
    library.pattern_fill(memory, 2, under, number)
    expected = pattern.page(under, number) + pattern.page(under, (number + 1) & 0xFFFFFFFF)
    assert memory.raw == expected
    assert int.from_bytes(memory.raw[4 * 1023 :][:4], "little") == pattern.word(under, number, 1023)


def test_swapped_pages_show_as_bad_words(library: ctypes.CDLL) -> None:
    memory = ctypes.create_string_buffer(pattern.page(7, 1) + pattern.page(7, 0))
    verdict = CVerdict()
    library.pattern_verify(memory, 2, 7, 0, ctypes.byref(verdict))
    assert (verdict.bad_words, verdict.first_bad) == (2048, ctypes.addressof(memory))
    assert (verdict.expected, verdict.found) == (pattern.word(7, 0, 0), pattern.word(7, 1, 0))


def c_constants(text: str) -> dict[str, int]:
    """Return the enumerators and number macros of a C header."""
    pairs = re.findall(r"([A-Z_]+)(?: = |\s+)(0x[0-9a-f]+|\d+)u?\b", text)
    return {name: int(value, 0) for name, value in pairs}


def test_table_of_operations_is_the_same_in_c_and_python() -> None:
    constants = c_constants((SOURCES / "ops.h").read_text())
    found = {name.removeprefix("OP_"): value for name, value in constants.items() if name.startswith("OP_")}
    assert found == {op.name: op.value for op in protocol.Op}


def test_flags_and_bounds_are_the_same_in_c_and_python() -> None:
    constants = c_constants((SOURCES / "ops.h").read_text())
    names = ("QUEUE", "TASKS", "WRITE_CREATE", "WRITE_TRUNCATE", "SPAWN_LOCKED", "HALT", "RESTART", "POWER_OFF")
    assert {name: constants[name] for name in names} == {name: getattr(protocol, name) for name in names}
    assert c_constants((SOURCES / "frame.h").read_text())["FRAME_PAYLOAD"] == MAX_PAYLOAD


def served(*files: str) -> set[str]:
    text = "".join((SOURCES / file).read_text() for file in files)
    return set(re.findall(r"\{ OP_(\w+), \d+, ", text)) | {"PING"}


def test_each_operation_is_served_where_the_table_says() -> None:
    both = served("files.c", "system.c")
    agent_only = {op.name for op in protocol.AGENT_ONLY}
    worker_only = {op.name for op in protocol.WORKER_ONLY}
    assert served("agent.c", "tasks.c") - {"PING"} == agent_only
    assert served("worker.c", "memory.c", "control.c", "cost.c", "module.c") - {"PING"} == worker_only
    assert both == {op.name for op in protocol.Op} - agent_only - worker_only
