"""The host's end of a line to an agent that this host's own kernel runs."""

from __future__ import annotations

import contextlib
import errno
import os
import pty
import select
import signal
import subprocess
import time
from pathlib import Path

from lab.machine.frames import Frame, FrameDecoder, encode
from lab.machine.protocol import PAIR, SPAWN, STATS, STATS_FIELDS, STATUS, WORD, Op

DEADLINE = 10.0
MIB = 1 << 20
Reply = tuple[int, bytes]


class Line:
    """The host's end: requests out, replies in, whatever order they come in."""

    def __init__(self, agent: Path, worker: Path) -> None:
        self.fd, other = pty.openpty()
        os.set_blocking(self.fd, False)
        words = [str(agent), os.ttyname(other), str(worker)]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, process_group=0)
        self.decoder = FrameDecoder()
        self.replies: list[Frame] = []
        self.seq = 0
        self.worker_pids: dict[int, int] = {}
        self.said = self._until_ready()
        os.close(other)  # the agent has it open now; before, closing the last one would have hung up the line

    def _until_ready(self) -> str:
        assert self.process.stdout is not None
        said = ""
        while "ready\n" not in said:
            assert select.select([self.process.stdout], [], [], DEADLINE)[0], said
            piece = os.read(self.process.stdout.fileno(), 4096)
            assert piece, f"the agent ended: {said}"
            said += piece.decode()
        return said

    def send(self, op: int, data: bytes = b"", task: int = 0) -> int:
        self.seq += 1
        self.raw(encode(self.seq, op, task, data))
        return self.seq

    def raw(self, data: bytes) -> None:
        """Send bytes; takes in replies meanwhile, since an agent that can't send does not receive either."""
        while data:
            readable, writable, _ = select.select([self.fd], [self.fd], [], DEADLINE)
            assert readable or writable, f"the line takes no bytes within {DEADLINE} s"
            if readable:
                self.replies += self.decoder.feed(os.read(self.fd, 65536))
            if writable:
                data = data[os.write(self.fd, data) :]

    def receive(self, count: int) -> list[Frame]:
        """Return the next `count` replies in the order of their arrival."""
        end = time.monotonic() + DEADLINE
        while len(self.replies) < count:
            left = end - time.monotonic()
            assert left > 0, f"{len(self.replies)} of {count} replies within {DEADLINE} s"
            if select.select([self.fd], [], [], left)[0]:
                self.replies += self.decoder.feed(os.read(self.fd, 65536))
        found, self.replies = self.replies[:count], self.replies[count:]
        return found

    def call(self, op: int, data: bytes = b"", task: int = 0) -> Reply:
        """Send one request and return the status and data of its reply, which must be the next."""
        seq = self.send(op, data, task)
        (reply,) = self.receive(1)
        assert (reply.seq, reply.op, reply.task) == (seq, op, task)
        return split(reply)

    def good(self, op: int, data: bytes = b"", task: int = 0) -> bytes:
        status, answer = self.call(op, data, task)
        assert status == 0, errno.errorcode.get(-status, status)
        return answer

    def spawn(self) -> int:
        task, pid = PAIR.unpack(self.good(Op.SPAWN, SPAWN.pack(0, 0)))
        self.worker_pids[task] = pid
        return int(task)

    def map(self, task: int, size: int) -> int:
        return number(self.good(Op.MEM_MAP, WORD.pack(size), task))

    def reap(self, task: int) -> int:
        """Wait for a task's end and return its wait status."""
        end = time.monotonic() + DEADLINE
        while (reply := self.call(Op.REAP, WORD.pack(task)))[0] == -errno.EAGAIN:
            assert time.monotonic() < end
        assert reply[0] == 0
        return number(reply[1])

    def stats(self) -> dict[str, int]:
        return dict(zip(STATS_FIELDS, STATS.unpack(self.good(Op.STATS)), strict=True))

    def close(self) -> None:
        os.close(self.fd)
        assert self.process.stdout is not None
        self.process.stdout.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)  # its workers, too, which may be stopped
        self.process.wait(DEADLINE)


def number(data: bytes) -> int:
    return int.from_bytes(data, "little")


def split(reply: Frame) -> Reply:
    return STATUS.unpack_from(reply.payload)[0], reply.payload[4:]
