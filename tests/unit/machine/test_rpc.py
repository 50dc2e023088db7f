from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator

import pytest

from lab.errors import AgentError, GuestFault, MachineError
from lab.journal import Journal
from lab.machine import frames, protocol
from lab.machine.agent import Agent, AgentStats, GuestTime, SysInfo
from lab.machine.deadline import Deadline
from lab.machine.frames import Frame, FrameDecoder
from lab.machine.loop import loop
from lab.machine.protocol import Op
from lab.machine.rpc import AgentRpc, RefusedError
from lab.machine.stream import Stream
from lab.machine.watch import Watch

Answer = Callable[[Frame], list[bytes]]


def reply(frame: Frame, status: int = 0, data: bytes = b"") -> bytes:
    return frames.encode(frame.seq, frame.op, frame.task, protocol.STATUS.pack(status) + data)


class Peer:
    """An agent in this process: a AgentRpc, and what stands at its other end."""

    def __init__(self) -> None:
        self.near, self.far = socket.socketpair()
        self.far.setblocking(False)
        self.watch = Watch()
        self.journal = Journal()
        self.refuse = ""
        self.rpc = AgentRpc(self.near, self.watch, self.journal, self.ready, lambda: ["last line"])
        self.answer: Answer = lambda frame: [reply(frame, data=frame.payload)]
        self.heard: list[Frame] = []
        self.bytes_heard = 0
        self._decoder = FrameDecoder()
        streams = Stream(self.near.fileno(), self.rpc.receive), Stream(self.far.fileno(), self._receive)
        self._serving = [loop().start(stream.serve()) for stream in streams]

    def ready(self, doing: str) -> None:
        if self.refuse:
            raise MachineError(self.refuse, doing=doing)

    def _receive(self, data: bytes) -> None:
        self.bytes_heard += len(data)
        for frame in self._decoder.feed(data):
            self.heard.append(frame)
            for part in self.answer(frame):
                self.far.send(part)

    def close(self) -> None:
        async def end() -> None:
            for task in self._serving:
                task.cancel()
            await asyncio.wait(self._serving)

        loop().run(end(), 10.0)
        self.near.close()
        self.far.close()


@pytest.fixture
def peer() -> Iterator[Peer]:
    made = Peer()
    yield made
    made.close()


def test_request_brings_the_data_behind_the_status(peer: Peer) -> None:
    assert peer.rpc.request(Op.PING, b"hello") == b"hello"


def test_replies_out_of_order_reach_their_own_requests(peer: Peer) -> None:
    held: list[bytes] = []

    def answer(frame: Frame) -> list[bytes]:
        held.insert(0, reply(frame, data=frame.payload))
        return held if len(held) == 3 else []

    peer.answer = answer
    waiting = [peer.rpc.submit(Op.PING, bytes([number])) for number in range(3)]
    assert [pending.result() for pending in waiting] == [b"\0", b"\1", b"\2"]


def test_negative_status_is_refused_with_its_name(peer: Peer) -> None:
    peer.answer = lambda frame: [reply(frame, -12)]
    with pytest.raises(RefusedError, match=r"asking the agent of task 3 for MEM_MAP: refused with ENOMEM") as caught:
        peer.rpc.request(Op.MEM_MAP, task=3)
    assert (caught.value.status, caught.value.name) == (-12, "ENOMEM")


def test_silence_is_an_agent_error_with_the_consoles_last_lines(peer: Peer) -> None:
    peer.answer = lambda _frame: []
    with pytest.raises(AgentError, match=r"no reply within 0\.05 s") as caught:
        peer.rpc.request(Op.PING, deadline=0.05)
    assert "last line" in caught.value.seen


def test_silence_makes_the_host_flush_the_line(peer: Peer) -> None:
    peer.answer = lambda _frame: []
    with pytest.raises(AgentError):
        peer.rpc.request(Op.PING, deadline=0.05)
    peer.answer = lambda frame: [reply(frame)]
    peer.rpc.request(Op.SYNC)
    assert [frame.op for frame in peer.heard] == [Op.PING, Op.PING, Op.SYNC]  # the second one asks for room
    assert peer.bytes_heard == 3 * frames.OVERHEAD + len(frames.FLUSH)


def test_reply_behind_half_a_frame_arrives_at_the_deadline(peer: Peer) -> None:
    peer.answer = lambda frame: [frames.encode(9, 9, 9, b"x" * 100)[:50], reply(frame, data=b"whole")]
    assert peer.rpc.request(Op.PING, deadline=0.05) == b"whole"


def test_damaged_reply_is_counted(peer: Peer) -> None:
    peer.answer = lambda frame: [reply(frame)[:-1] + b"?"]
    with pytest.raises(AgentError, match="1 damaged frames have arrived"):
        peer.rpc.request(Op.PING, deadline=0.05)
    assert peer.rpc.damaged == 1


def test_reply_to_nothing_is_counted_as_stale(peer: Peer) -> None:
    peer.answer = lambda frame: [frames.encode(999, Op.PING, 0), reply(frame)]
    peer.rpc.request(Op.PING)
    assert peer.rpc.stale == 1


def test_reply_without_status_is_an_agent_error(peer: Peer) -> None:
    peer.answer = lambda frame: [frames.encode(frame.seq, frame.op, frame.task, b"ab")]
    with pytest.raises(AgentError, match="a reply of 2 bytes has no status"):
        peer.rpc.request(Op.PING)


def test_reply_to_another_operation_is_an_agent_error(peer: Peer) -> None:
    peer.answer = lambda frame: [frames.encode(frame.seq, Op.SYNC, 0, protocol.STATUS.pack(0))]
    with pytest.raises(AgentError, match="a reply to SYNC of task 0"):
        peer.rpc.request(Op.PING)


def test_fault_ends_the_wait_for_a_reply(peer: Peer) -> None:
    def die(_frame: Frame) -> list[bytes]:
        peer.watch.fail(lambda: GuestFault("it died"))
        return []

    peer.answer = die
    with pytest.raises(GuestFault, match="asking the agent for PING: it died"):
        peer.rpc.request(Op.PING, deadline=600)


def test_machine_that_takes_no_requests_is_not_sent_any(peer: Peer) -> None:
    peer.refuse = "the machine is stopped"
    with pytest.raises(MachineError, match="the machine is stopped"):
        peer.rpc.submit(Op.PING)
    assert peer.heard == []


def test_reset_ends_requests_under_way(peer: Peer) -> None:
    peer.answer = lambda _frame: []
    pending = peer.rpc.submit(Op.PING)
    loop().call(peer.rpc.reset, "the machine was restored")
    with pytest.raises(AgentError, match="the machine was restored"):
        pending.result()


def test_no_more_is_under_way_than_the_guests_line_holds(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.machine.rpc.REQUEST_SECONDS", 0.05)
    peer.answer = lambda _frame: []
    peer.rpc.submit(Op.PING, b"x" * 200)
    peer.rpc.submit(Op.PING, b"x" * 200)
    with pytest.raises(AgentError, match="no reply"):
        peer.rpc.submit(Op.PING, b"x" * 200)
    loop().call(int)  # what was sent has been heard
    assert peer.bytes_heard <= frames.MAX_UNREAD


def test_workers_that_do_not_answer_do_not_hold_up_the_line(peer: Peer) -> None:
    peer.answer = lambda frame: [] if frame.task else [reply(frame)]
    for number in range(1, 11):
        peer.rpc.submit(Op.MEM_FILL, b"x" * 100, number)
    peer.rpc.request(Op.PING)
    # a fifth one in a row would be more than the guest holds; a ping (task 0) tells that it has read four
    assert [frame.task for frame in peer.heard] == [1, 2, 3, 4, 0, 5, 6, 7, 8, 0, 9, 10, 0]


def test_reply_tells_that_all_before_it_was_read(peer: Peer) -> None:
    peer.answer = lambda frame: [] if frame.task == 1 else [reply(frame)]
    peer.rpc.submit(Op.MEM_FILL, b"x" * 300, 1)
    peer.rpc.request(Op.MEM_FILL, b"x" * 100, 2)
    peer.rpc.submit(Op.MEM_FILL, b"x" * 400, 1)
    assert [frame.task for frame in peer.heard if frame.op == Op.PING] == []


def test_request_above_the_limit_is_refused_before_it_is_sent(peer: Peer) -> None:
    with pytest.raises(ValueError, match="449 bytes"):
        peer.rpc.submit(Op.PING, b"x" * (frames.MAX_REQUEST + 1))
    assert peer.heard == []


def test_sequence_numbers_in_use_are_skipped(peer: Peer) -> None:
    peer.answer = lambda frame: [] if frame.payload == b"held" else [reply(frame)]
    held = peer.rpc.submit(Op.PING, b"held")
    peer.rpc._seq = held.frame.seq - 1
    assert peer.rpc.submit(Op.PING).frame.seq == held.frame.seq + 1


def test_journal_gets_operation_task_and_status(peer: Peer) -> None:
    events: list[dict[str, object]] = []
    peer.journal.listen(events.append)
    peer.answer = lambda frame: [reply(frame, -2)]
    with pytest.raises(RefusedError):
        peer.rpc.request(Op.SYNC, task=4)
    assert [(event["op"], event["task"], event["status"]) for event in events] == [("SYNC", 4, -2)]


def test_file_is_read_in_parts(peer: Peer) -> None:
    text = bytes(range(256)) * 20

    def answer(frame: Frame) -> list[bytes]:
        offset, most = protocol.PAIR.unpack_from(frame.payload)
        return [reply(frame, data=text[offset : offset + most])]

    peer.answer = answer
    assert Agent(peer.rpc).read_file("/etc/big") == text


def test_file_is_written_in_parts_and_cut_only_at_first(peer: Peer) -> None:
    written = bytearray()
    flags = []

    def answer(frame: Frame) -> list[bytes]:
        place, flag = protocol.PAIR.unpack_from(frame.payload)
        data = frame.payload[8:].partition(b"\0")[2]
        written[place:] = data
        flags.append(flag)
        return [reply(frame, data=protocol.WORD.pack(len(data)))]

    peer.answer = answer
    text = bytes(range(256)) * 20
    Agent(peer.rpc).write_file("/tmp/big", text)
    assert (bytes(written), flags) == (text, [3] + [0] * (len(flags) - 1))
    assert max(len(frame.payload) for frame in peer.heard) == frames.MAX_REQUEST


def test_empty_file_is_written_too(peer: Peer) -> None:
    peer.answer = lambda frame: [reply(frame, data=protocol.WORD.pack(0))]
    Agent(peer.rpc).write_file("/tmp/empty", b"")
    assert [frame.payload for frame in peer.heard] == [protocol.PAIR.pack(0, 3) + b"/tmp/empty\0"]


def test_directory_is_listed_over_several_replies(peer: Peer) -> None:
    parts = {0: (2, b"a\0b\0"), 2: (0, b"c\0")}

    def answer(frame: Frame) -> list[bytes]:
        following, names = parts[protocol.WORD.unpack_from(frame.payload)[0]]
        return [reply(frame, data=protocol.WORD.pack(following) + names)]

    peer.answer = answer
    assert Agent(peer.rpc).list_dir("/") == ["a", "b", "c"]


def test_reap_asks_again_while_the_worker_lives(peer: Peer) -> None:
    statuses = [-11, -11, 0]
    peer.answer = lambda frame: [reply(frame, statuses.pop(0), protocol.WORD.pack(0x0300))]
    assert (Agent(peer.rpc).reap(1), statuses) == (0x0300, [])


def test_wrong_echo_is_an_agent_error(peer: Peer) -> None:
    peer.answer = lambda frame: [reply(frame, data=b"something else")]
    with pytest.raises(AgentError, match="got b'something else' back"):
        Agent(peer.rpc).ping(b"me")


def test_reply_of_another_size_is_an_agent_error(peer: Peer) -> None:
    peer.answer = lambda frame: [reply(frame, data=b"123")]
    with pytest.raises(AgentError, match="3 bytes where SysInfo has 48"):
        Agent(peer.rpc).sysinfo()


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (AgentStats, protocol.STATS_FIELDS),
        (SysInfo, protocol.SYSINFO_FIELDS),
        (GuestTime, protocol.TIME_FIELDS),
    ],
)
def test_values_have_the_protocols_fields_in_order(kind: type[SysInfo], names: tuple[str, ...]) -> None:
    assert kind.__struct_fields__ == names


@pytest.mark.parametrize(("op", "command"), [(Op.KVMD_IOCTL, 0x4B06), (Op.KVMD_IOCTL_AT, 0x4B06), (Op.PING, None)])
def test_journal_tells_which_ioctl_a_request_was(op: Op, command: int | None, peer: Peer) -> None:
    heard: list[dict[str, object]] = []
    peer.journal.listen(heard.append)
    peer.rpc.request(op, protocol.PAIR.pack(0x4B06, 7), task=1)
    assert [(event["op"], event.get("command")) for event in heard] == [(op.name, command)]


def test_worker_that_does_not_end_is_waited_for_in_the_guests_own_time(
    peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []

    def deadline(seconds: float) -> Deadline:
        asked.append(seconds)
        return Deadline(0.05)

    monkeypatch.setattr(peer.watch, "deadline", deadline)
    peer.answer = lambda frame: [reply(frame, -11)]
    with pytest.raises(RefusedError, match="EAGAIN"):
        Agent(peer.rpc).reap(3, deadline=600.0)
    assert asked[0] == 600.0
    assert len(peer.heard) > 1
