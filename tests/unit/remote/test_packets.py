"""Packets on an SSH channel, however the bytes come."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.errors import RemoteError
from lab.machine.qemu import SOCKETS
from lab.remote.packets import HEADER, MOST, Kind, Packet, PacketDecoder

packets = st.builds(Packet, st.sampled_from(Kind), st.integers(0, 0xFFFF), st.binary(max_size=40))


@given(st.lists(packets, max_size=6), st.lists(st.integers(0, 300), max_size=8))
def test_packets_arrive_as_they_were_sent_wherever_the_bytes_are_cut(sent: list[Packet], cuts: list[int]) -> None:
    raw = b"".join(packet.encode() for packet in sent)
    places = sorted({0, *(cut for cut in cuts if cut < len(raw)), len(raw)})
    decoder = PacketDecoder()
    pieces = [raw[begin:end] for begin, end in itertools.pairwise(places)]
    assert [packet for piece in pieces for packet in decoder.feed(piece)] == sent


@pytest.mark.parametrize(
    "said",
    [b"This account is currently not available.\n", HEADER.pack(max(Kind) + 1, 0, 0), HEADER.pack(0, 0, MOST + 1)],
)
def test_what_is_no_packet_is_an_error_that_shows_it(said: bytes) -> None:
    with pytest.raises(RemoteError, match="does not speak to the lab, but says") as caught:
        list(PacketDecoder().feed(said))
    assert repr(said) in str(caught.value)


def test_each_line_of_qemu_has_a_kind() -> None:
    assert {name.upper() for name in SOCKETS} <= set(Kind.__members__)
