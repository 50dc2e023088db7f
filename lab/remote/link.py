"""The near side of a keeper: requests and answers, and the lines of its QEMUs, over one SSH channel.

One thread takes what arrives, another sends. All that is sent goes through the second one in an order that holds: what
a line was given before a request was made goes before that request.
"""

from __future__ import annotations

import contextlib
import itertools
import select
import socket
import threading
import time
from collections import deque
from typing import Any, Protocol

import msgspec
from paramiko import SSHException

from lab.errors import LabError, RemoteError
from lab.journal import Journal
from lab.machine.watch import HEARTBEAT
from lab.remote import messages
from lab.remote.connection import Connection
from lab.remote.errors import LinkLostError
from lab.remote.frames import BEAT_SECONDS, SILENCE_SECONDS, Decoder, Frame, Kind

ASK_SECONDS = 120.0
START_SECONDS = 60.0  # until a keeper's first word: on a busy host, reading and compiling its modules may take long
END_SECONDS = 20.0
_PIECE = 1 << 16


class Ends(Protocol):
    """The near side's half of a QEMU's lines; `far` is changed only under the link's lock."""

    far: dict[Kind, socket.socket]

    def take(self, frame: Frame) -> None:
        """Take what comes from its lines."""

    def lose(self) -> None:
        """Nothing comes any more."""


class _Pending:
    """A request under way."""

    def __init__(self, journal: Journal | None) -> None:
        self.journal = journal
        self.done = threading.Event()
        self.answer: messages.Answer | messages.Failure | None = None


class Link:
    """A keeper, from its start to its end."""

    def __init__(self, connection: Connection, command: str, qemu: str, silence: float = SILENCE_SECONDS) -> None:
        """Start it; after `silence` seconds without a word each side takes the other for lost.

        They are seconds of waiting: a time in which this process did not run, and could not hear, does not count.
        """
        self.where = str(connection.target)
        self._channel = connection.channel(command)
        self._silence = silence
        self._beat = min(BEAT_SECONDS, silence / 4)
        self._channel.settimeout(self._beat)
        self.lock = threading.RLock()
        self._numbers = itertools.count(1)
        self._pending: dict[int, _Pending] = {}
        self._machines: dict[int, Ends] = {}
        self._waiting: deque[Frame] = deque()
        self._why = ""
        self._complaint = b""
        self._wake, self._woken = socket.socketpair()
        self._woken.setblocking(False)
        self._threads = [
            threading.Thread(target=work, name=f"kvmd-lab-{work.__name__.strip('_')}", daemon=True)
            for work in (self._receive, self._transmit)
        ]
        for thread in self._threads:
            thread.start()
        try:
            self.pid = int(self.ask(messages.Hello(qemu, silence), int))
        except BaseException:
            self.close()
            raise

    @property
    def lost(self) -> LabError | None:
        """Why there is no connection any more."""
        if not self._why:
            return None
        said = self._complaint.decode(errors="replace").splitlines()[-12:]
        return LinkLostError(
            self._why,
            doing=f"working on {self.where}",
            seen=said,
            hint="what ran there ends by itself; start again when the host can be reached",
        )

    def ask(
        self, request: messages.Request, kind: Any = None, journal: Journal | None = None, seconds: float = ASK_SECONDS
    ) -> Any:
        """Return the keeper's answer as a `kind`; its events go to the journal.

        LabError: the keeper's own. LinkLostError: there is no keeper any more. RemoteError: no answer in time.
        """
        pending = _Pending(journal)
        with self.lock:
            number = next(self._numbers)
            self._pending[number] = pending
            asked = messages.Asked(number, request)  # type: ignore[arg-type]
            self._waiting.append(Frame(Kind.CONTROL, payload=messages.encode(asked)))
        self._rouse()
        end = time.monotonic() + seconds
        while not (self._why or pending.done.wait(HEARTBEAT)):
            if time.monotonic() > end:
                raise RemoteError(f"no answer within {seconds:g} s", doing=f"asking {self.where} to {_name(request)}")
        with self.lock:
            self._pending.pop(number, None)
        if pending.answer is None:
            assert self.lost is not None
            raise self.lost
        if isinstance(pending.answer, messages.Failure):
            raise messages.error(pending.answer, self.where)
        return messages.decode(pending.answer.value, kind)

    def attach(self, ends: Ends) -> int:
        """Take on the lines of a QEMU that is about to start, and return its number."""
        with self.lock:
            number = next(self._numbers) & 0xFFFF
            self._machines[number] = ends
        self._rouse()
        return number

    def detach(self, number: int) -> None:
        """Let them go; nobody touches them afterwards."""
        with self.lock:
            self._machines.pop(number, None)

    def close(self) -> None:
        """Let the keeper end, and wait for that."""
        with contextlib.suppress(OSError, SSHException, EOFError):
            self._channel.shutdown_write()
            self._channel.status_event.wait(0 if self._why else END_SECONDS)
        self._lose("the connection is closed")
        self._channel.close()
        for thread in self._threads:
            thread.join(END_SECONDS)
        self._wake.close()
        self._woken.close()

    def _rouse(self) -> None:
        with contextlib.suppress(OSError):
            self._wake.send(b"!")

    def _receive(self) -> None:
        decoder = Decoder()
        quiet, limit = 0.0, max(self._silence, START_SECONDS)
        try:
            while not self._why:
                try:
                    data = self._channel.recv(_PIECE)
                except TimeoutError:
                    quiet += self._beat
                    if quiet >= limit:
                        self._lose(f"{self.where} has said nothing for {limit:g} s")
                    continue
                quiet, limit = 0.0, self._silence
                self._listen()
                if not data:
                    self._lose(f"the connection to {self.where} was cut")
                for frame in decoder.feed(data):
                    self._take(frame)
        except (OSError, EOFError, SSHException, LabError, msgspec.MsgspecError) as error:
            self._lose(f"the connection to {self.where} is lost ({error or type(error).__name__})")

    def _listen(self) -> None:
        """Note what the keeper says on its standard error: its last words, if any."""
        while self._channel.recv_stderr_ready():
            self._complaint = (self._complaint + self._channel.recv_stderr(_PIECE))[-_PIECE:]

    def _take(self, frame: Frame) -> None:
        if frame.kind is Kind.CONTROL:
            self._note(messages.decode(frame.payload, messages.Answer | messages.Event | messages.Failure))
        elif frame.kind is not Kind.BEAT:
            with self.lock:
                ends = self._machines.get(frame.machine)
            if ends is not None:
                ends.take(frame)

    def _note(self, message: messages.Answer | messages.Event | messages.Failure) -> None:
        with self.lock:
            pending = self._pending.get(message.number)
        if pending is None:
            return
        if not isinstance(message, messages.Event):
            pending.answer = message
            pending.done.set()
        elif pending.journal is not None:
            fields = {name: value for name, value in message.event.items() if name not in ("t", "kind")}
            pending.journal.record(message.event["kind"], **fields)

    def _transmit(self) -> None:
        spoken = 0.0
        while not self._why:
            self._sleep(max(0.0, spoken + self._beat - time.monotonic()))
            with contextlib.suppress(BlockingIOError):
                self._woken.recv(_PIECE)
            with self.lock:
                later = [self._waiting.popleft() for _ in range(len(self._waiting))]
                frames = [frame for number, ends in self._machines.items() for frame in _collect(number, ends)]
            frames += later
            if not frames and time.monotonic() >= spoken + self._beat:
                frames.append(Frame(Kind.BEAT))
            if frames:
                self._send(b"".join(frame.encode() for frame in frames))
                spoken = time.monotonic()

    def _sleep(self, seconds: float) -> None:
        """Wait until there is something to send, at most for a while."""
        poll = select.poll()
        poll.register(self._woken, select.POLLIN)
        with self.lock:
            for ends in self._machines.values():
                for end in ends.far.values():
                    poll.register(end, select.POLLIN)
        poll.poll(seconds * 1000)

    def _send(self, data: bytes) -> None:
        stuck = 0.0
        while data and not self._why:
            try:
                data = data[self._channel.send(data) :]
                stuck = 0.0
            except TimeoutError:
                stuck += self._beat
                if stuck >= self._silence:
                    self._lose(f"{self.where} has taken nothing for {self._silence:g} s")
            except (OSError, EOFError, SSHException) as error:
                self._lose(f"the connection to {self.where} is lost ({error or type(error).__name__})")

    def _lose(self, why: str) -> None:
        """End every wait."""
        with self.lock:
            if self._why:
                return
            self._why = why
            for pending in self._pending.values():
                pending.done.set()
            for ends in self._machines.values():
                ends.lose()
        self._rouse()


def _collect(number: int, ends: Ends) -> list[Frame]:
    """Take what a QEMU's lines were given; a line that was closed is forgotten."""
    frames = []
    for kind, end in list(ends.far.items()):
        with contextlib.suppress(BlockingIOError):
            while data := _received(end):
                frames.append(Frame(kind, number, data))
            del ends.far[kind]
    return frames


def _received(end: socket.socket) -> bytes:
    try:
        return end.recv(_PIECE, socket.MSG_DONTWAIT)
    except BlockingIOError:
        raise
    except OSError:
        return b""


def _name(request: messages.Request) -> str:
    return type(request).__name__
