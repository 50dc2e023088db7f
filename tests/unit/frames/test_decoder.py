"""The Python half of the framing codec, by itself."""

from __future__ import annotations

import pytest

from lab.machine.frames import FLUSH, MAX_PAYLOAD, OVERHEAD, Frame, FrameDecoder, encode

FIRST = Frame(1, 2, 3, b"first")
SECOND = Frame(65535, 0, 65535, b"")


def packed(frame: Frame) -> bytes:
    return encode(frame.seq, frame.op, frame.task, frame.payload)


def test_frames_in_one_piece_come_out_in_order() -> None:
    decoder = FrameDecoder()
    assert decoder.feed(packed(FIRST) + packed(SECOND)) == [FIRST, SECOND]
    assert (decoder.frames, decoder.dropped, decoder.skipped, decoder.pending) == (2, 0, 0, 0)


def test_bytes_one_by_one_give_the_frame_with_the_last() -> None:
    decoder = FrameDecoder()
    *before, last = (bytes([byte]) for byte in packed(FIRST))
    assert [decoder.feed(byte) for byte in before] == [[]] * len(before)
    assert decoder.feed(last) == [FIRST]


def test_largest_payload_passes_and_one_byte_more_is_refused() -> None:
    whole = Frame(0, 0, 0, bytes(MAX_PAYLOAD))
    assert FrameDecoder().feed(packed(whole)) == [whole]
    with pytest.raises(ValueError, match="does not fit"):
        encode(0, 0, 0, bytes(MAX_PAYLOAD + 1))


def test_number_above_16_bits_is_refused() -> None:
    with pytest.raises(ValueError, match="16-bit"):
        encode(65536, 0, 0)


@pytest.mark.parametrize("place", range(len(packed(FIRST))))
def test_any_damaged_byte_loses_that_frame_only(place: int) -> None:
    raw = bytearray(packed(FIRST))
    raw[place] ^= 0x10
    assert FrameDecoder().feed(bytes(raw) + packed(SECOND)) == [SECOND]


@pytest.mark.parametrize("place", range(len(packed(FIRST))))
def test_any_lost_byte_loses_that_frame_only(place: int) -> None:
    raw = packed(FIRST)
    assert FrameDecoder().feed(raw[:place] + raw[place + 1 :] + packed(SECOND)) == [SECOND]


def test_damaged_length_does_not_make_the_receiver_wait() -> None:
    raw = bytearray(packed(SECOND))
    raw[3] ^= 0x04  # 1024 more bytes to come
    decoder = FrameDecoder()
    assert decoder.feed(bytes(raw)) == []
    assert (decoder.pending, decoder.dropped) == (0, 1)


def test_frame_without_tail_gives_way_on_expire_to_what_is_behind_it() -> None:
    long = packed(Frame(9, 9, 9, bytes(500)))
    decoder = FrameDecoder()
    assert decoder.feed(long[:100] + packed(FIRST)) == []
    assert decoder.expire() == [FIRST]
    assert (decoder.pending, decoder.dropped, decoder.skipped) == (0, 1, 100)


@pytest.mark.parametrize("kept", [1, 2, OVERHEAD - 4, OVERHEAD - 1])
def test_flush_after_a_cut_frame_clears_the_way_and_does_not_complete_it(kept: int) -> None:
    decoder = FrameDecoder()
    assert decoder.feed(packed(SECOND)[:kept] + FLUSH + packed(FIRST)) == [FIRST]
