"""Requests to the agent and their replies, over its serial port; several may be under way at once."""

from __future__ import annotations

import contextlib
import math
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from lab.errors import AgentError, LabError
from lab.journal import Journal
from lab.machine import frames, protocol
from lab.machine.deadline import Deadline
from lab.machine.frames import Frame
from lab.machine.loop import SLICE_SECONDS, loop
from lab.machine.protocol import Op
from lab.machine.watch import Watch

REQUEST_SECONDS = 5.0
_SEQS = 0x10000


class Outlet(Protocol):
    """The way out: a socket that does not block, or what is like one."""

    def send(self, data: bytes, /) -> int:
        """Send what fits and return how many bytes; BlockingIOError: none."""

    def fileno(self) -> int:
        """Return the descriptor that tells when some fit again."""


class RefusedError(AgentError):
    """A request that the agent, a task or the kernel refused; `status` is the negative errno, `name` its name."""

    def __init__(self, what: str, status: int, doing: str) -> None:
        super().__init__(what, doing=doing)
        self.status = status
        self.name = protocol.errno_name(status)


class Pending:
    """A request that is under way."""

    def __init__(self, rpc: AgentRpc, frame: Frame) -> None:
        self._rpc = rpc
        self.frame = frame
        self.began = time.monotonic()
        self.reply: Frame | None = None
        self.cancelled = ""

    @property
    def doing(self) -> str:
        """What is being asked, for messages."""
        task = f" of task {self.frame.task}" if self.frame.task else ""
        return f"asking the agent{task} for {_name(self.frame.op)}"

    @property
    def done(self) -> bool:
        """Whether `result` returns or raises at once."""
        return self.reply is not None or bool(self.cancelled)

    def result(self, deadline: float = REQUEST_SECONDS) -> bytes:
        """Return the data of the reply, without its status.

        RefusedError: the status is negative. AgentError: no reply within `deadline` seconds from now, of the guest's
        own time (whether the request was carried out is not known). A fault on the console, and QEMU's end, are
        raised instead.
        """
        return self._rpc.await_reply(self, deadline)


class AgentRpc:
    """The host's half of the agent's serial line; all methods but `receive` are for any thread."""

    def __init__(
        self,
        outlet: Outlet,
        watch: Watch,
        journal: Journal,
        ready: Callable[[str], None],
        tail: Callable[[], list[str]],
    ) -> None:
        """`ready(doing)` raises if the machine takes no requests now; `tail()` gives the console's last lines."""
        self.use(outlet)
        self._watch = watch
        self._journal = journal
        self._ready = ready
        self._tail = tail
        self._lock = threading.Lock()
        self._seq = 0
        self._pending: dict[int, Pending] = {}
        self._decoder = frames.FrameDecoder()
        self._damaged_before = 0
        self._unread: deque[tuple[Frame | None, int]] = deque()  # what was sent, and how many bytes; None: a FLUSH
        self.stale = 0
        self.patience = math.inf  # seconds of the guest's own: the longest wait for a reply, whatever deadline is given

    def use(self, outlet: Outlet) -> None:
        """Speak through this one from now on."""
        self._outlet = outlet

    @property
    def damaged(self) -> int:
        """Frames that arrived damaged since the machine was started."""
        return self._damaged_before + self._decoder.dropped

    def submit(self, op: int, payload: bytes = b"", task: int = 0) -> Pending:
        """Send a request and return at once; see Pending.result for how it ends.

        A payload above MAX_REQUEST bytes is a ValueError.
        """
        if len(payload) > frames.MAX_REQUEST:
            raise ValueError(f"a request of {len(payload)} bytes; at most {frames.MAX_REQUEST} go at once")
        self._ready(f"asking the agent for {_name(op)}")
        self._watch.check()
        with self._lock:
            pending = Pending(self, Frame(self._next_seq(), op, task, payload))
            self._wait_for_room(pending)
            self._put(pending)
        return pending

    def request(self, op: int, payload: bytes = b"", task: int = 0, deadline: float = REQUEST_SECONDS) -> bytes:
        """Send a request and return the data of its reply; errors as in Pending.result."""
        return self.submit(op, payload, task).result(deadline)

    def deadline(self, seconds: float) -> Deadline:
        """Return a deadline in the guest's own time, which begins now."""
        return self._watch.deadline(seconds)

    def receive(self, data: bytes) -> None:
        """Take what has arrived; for the loop's thread."""
        self._take(self._decoder.feed(data))

    def reset(self, why: str) -> None:
        """Forget everything that is under way, half a frame included; for the loop's thread."""
        self._damaged_before = self.damaged
        self._decoder = frames.FrameDecoder()
        self._unread.clear()
        gone, self._pending = self._pending, {}
        for pending in gone.values():
            pending.cancelled = why
        self._watch.notify()

    def await_reply(self, pending: Pending, deadline: float) -> bytes:
        """Do what Pending.result says."""
        end = self._watch.deadline(min(deadline, self.patience))
        try:
            if not self._watch.wait(lambda: pending.done or None, end):
                self._last_try(pending)
        except LabError as error:
            self._record(pending, type(error).__name__)
            self._pending.pop(pending.frame.seq, None)
            error.doing = error.doing or pending.doing
            raise
        if not pending.done:
            raise self._timeout(pending, end)
        return self._open(pending)

    def _open(self, pending: Pending) -> bytes:
        if pending.reply is None:
            raise AgentError(pending.cancelled, doing=pending.doing)
        payload = pending.reply.payload
        if len(payload) < protocol.STATUS.size:
            raise AgentError(f"a reply of {len(payload)} bytes has no status", doing=pending.doing)
        (status,) = protocol.STATUS.unpack_from(payload)
        if pending.reply.op != pending.frame.op or pending.reply.task != pending.frame.task:
            raise AgentError(f"a reply to {_name(pending.reply.op)} of task {pending.reply.task}", doing=pending.doing)
        self._record(pending, status)
        if status < 0:
            raise RefusedError(f"refused with {protocol.errno_name(status)}", status, pending.doing)
        return payload[protocol.STATUS.size :]

    def _last_try(self, pending: Pending) -> None:
        """Unstick either side from a frame that lost its tail (see frames.py), which may bring the reply."""
        loop().call(lambda: self._take(self._decoder.expire()))
        if not pending.done:
            with contextlib.suppress(OSError), self._lock:
                self._outlet.send(frames.FLUSH)
                self._unread.append((None, len(frames.FLUSH)))

    def _timeout(self, pending: Pending, end: Deadline) -> AgentError:
        self._pending.pop(pending.frame.seq, None)
        self._record(pending, "timeout")
        damaged = f"; {self.damaged} damaged frames have arrived" if self.damaged else ""
        return AgentError(
            f"no reply within {end}{damaged}",
            doing=pending.doing,
            seen=[*self._tail(), "(these were the console's last lines)"],
            hint="a longer deadline, if the guest is only slow; whether the request was carried out is not known",
        )

    def _record(self, pending: Pending, status: int | str) -> None:
        frame, seconds = pending.frame, time.monotonic() - pending.began
        command = {}
        if frame.op in (Op.KVMD_IOCTL, Op.KVMD_IOCTL_AT) and len(frame.payload) >= protocol.WORD.size:
            command = {"command": protocol.WORD.unpack_from(frame.payload)[0]}
        self._journal.record("agent", op=_name(frame.op), task=frame.task, seconds=seconds, status=status, **command)

    def _take(self, found: list[Frame]) -> None:
        for frame in found:
            pending = self._pending.pop(frame.seq, None)
            self._has_read(frame.seq)
            if pending is None:
                self.stale += 1
            else:
                pending.reply = frame
        if found:
            self._watch.notify()

    def _next_seq(self) -> int:
        self._seq = (self._seq + 1) % _SEQS
        while self._seq in self._pending:
            self._seq = (self._seq + 1) % _SEQS
        return self._seq

    def _has_read(self, seq: int) -> None:
        """Note that the guest has read this request, and so all that was sent before it: the agent reads in order."""
        if any(frame is not None and frame.seq == seq for frame, _ in list(self._unread)):
            while self._unread:
                frame, _ = self._unread.popleft()
                if frame is not None and frame.seq == seq:
                    break

    def _wait_for_room(self, pending: Pending) -> None:
        """Keep what the guest may not have read yet below what it holds.

        Most replies come at once and say so. A worker's may take minutes: then a ping to the agent brings the news.
        """
        size = len(pending.frame.payload) + 2 * frames.OVERHEAD

        def room() -> bool | None:
            return True if sum(held for _, held in list(self._unread)) + size <= frames.MAX_UNREAD else None

        if room():
            return
        last, _ = self._unread[-1]
        if last is None or last.task:
            self._put(Pending(self, Frame(self._next_seq(), Op.PING, 0)))
        end = self._watch.deadline(REQUEST_SECONDS)
        if self._watch.wait(room, end) is None:
            raise self._timeout(pending, end)

    def _put(self, pending: Pending) -> None:
        frame = pending.frame
        raw = frames.encode(frame.seq, frame.op, frame.task, frame.payload)
        self._pending[frame.seq] = pending
        self._unread.append((frame, len(raw)))
        self._send(raw, pending)

    def _send(self, raw: bytes, pending: Pending) -> None:
        end = self._watch.deadline(REQUEST_SECONDS)
        while raw:
            try:
                raw = raw[self._outlet.send(raw) :]
            except BlockingIOError:
                end.note()
                if not (_fits(self._outlet, min(end.left, SLICE_SECONDS)) or end.left > 0 or end.extend()):
                    raise self._timeout(pending, end) from None
            except OSError as error:
                raise self._watch.verdict(AgentError(f"the line is cut ({error})", doing=pending.doing)) from error


def _fits(outlet: Outlet, seconds: float) -> bool:
    """Tell whether something can be sent, waiting for that."""
    poll = select.poll()
    poll.register(outlet.fileno(), select.POLLOUT)
    return bool(poll.poll(max(0.0, seconds) * 1000))


def _name(op: int) -> str:
    try:
        return Op(op).name
    except ValueError:
        return f"operation {op:#x}"
