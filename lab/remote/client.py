"""Our side of a connection to a peer: requests and answers, and the streams of its QEMUs, over one SSH channel.

One task in the loop, `_live`, reads the channel and keeps count of silence; what fails in there ends the connection,
and with it every machine over there. Paramiko's sending may block, so a thread does it, in an order that holds: what a
machine was given before a request was made goes before that request.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import queue
import threading
from concurrent.futures import Future
from typing import Any, Protocol

import msgspec
from paramiko import SSHException

from lab.errors import InfraError, LabError, RemoteError
from lab.journal import Journal
from lab.machine.loop import loop, outcome
from lab.machine.stream import whenever_readable
from lab.remote import messages
from lab.remote.connection import Connection
from lab.remote.errors import ConnectionLostError
from lab.remote.packets import HEARTBEAT_SECONDS, SILENCE_SECONDS, Kind, Packet, PacketDecoder

ASK_SECONDS = 120.0
START_SECONDS = 60.0  # until a peer's first word: on a busy host, reading and compiling its modules may take long
END_SECONDS = 20.0
WINDOW = (1 << 32) - 1  # SSH's largest: asking for more is sending, which may block, and would in the loop
_PIECE = 1 << 16


class Proxy(Protocol):
    """A QEMU over there, as this side has it; all of it is for the loop's thread."""

    def take(self, packet: Packet) -> None:
        """Take what comes from it."""

    def lose(self) -> None:
        """Nothing comes any more."""


class Client:
    """A peer, from its start to its end."""

    def __init__(self, connection: Connection, command: str, qemu: str, silence: float = SILENCE_SECONDS) -> None:
        """Start it; after `silence` seconds without a word each side takes the other for lost.

        They are seconds of waiting: a time in which this process did not run, and could not hear, does not count.
        """
        self.where = str(connection.target)
        self._channel = connection.channel(command, WINDOW)
        self._silence = silence
        self._beat = min(HEARTBEAT_SECONDS, silence / 4)
        self._channel.settimeout(self._beat)
        self._numbers = itertools.count(1)
        self._asked: dict[int, tuple[Future[bytes], Journal | None]] = {}
        self._proxies: dict[int, Proxy] = {}
        self._why = ""
        self._kind: type[LabError] = ConnectionLostError
        self._complaint = b""
        self._quiet, self._patience = 0.0, max(silence, START_SECONDS)
        self._decoder = PacketDecoder()
        self._outgoing: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._sender = threading.Thread(target=self._send_all, name="kvmd-lab-sender", daemon=True)
        self._sender.start()
        self._life = loop().start(self._live())
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
        hint = "what ran there ends by itself; start again when the host can be reached"
        return self._kind(self._why, doing=f"working on {self.where}", seen=said, hint=hint)

    def ask(
        self, request: messages.Request, kind: Any = None, journal: Journal | None = None, seconds: float = ASK_SECONDS
    ) -> Any:
        """Return the peer's answer as a `kind`; its events go to the journal.

        LabError: the peer's own. ConnectionLostError: there is no peer any more. RemoteError: no answer in time.
        """
        answer: Future[bytes] = Future()
        number = next(self._numbers)
        self._asked[number] = answer, journal
        try:
            if self.lost is not None:
                raise self.lost
            asked = messages.Asked(number, request)  # type: ignore[arg-type]
            self.send(Packet(Kind.CONTROL, payload=messages.encode(asked)))
            return messages.decode(outcome(answer, seconds), kind)
        except TimeoutError as error:
            doing = f"asking {self.where} to {type(request).__name__}"
            raise RemoteError(f"no answer within {seconds:g} s", doing=doing) from error
        finally:
            self._asked.pop(number, None)

    def send(self, packet: Packet) -> None:
        """Send a packet after all that was sent before."""
        self._outgoing.put(packet.encode())

    def attach(self, proxy: Proxy) -> int:
        """Take on a QEMU that is about to start, and return its number."""
        number = next(self._numbers) & 0xFFFF
        loop().call(self._proxies.__setitem__, number, proxy)
        return number

    def detach(self, number: int) -> None:
        """Let it go; nobody calls it afterwards."""
        loop().call(self._proxies.pop, number, None)

    def close(self) -> None:
        """Let the peer end, and wait for that."""
        with contextlib.suppress(OSError, SSHException, EOFError):
            self._channel.shutdown_write()
            self._channel.status_event.wait(0 if self._why else END_SECONDS)
        loop().run(self._end(), END_SECONDS)
        self._channel.close()
        self._sender.join(END_SECONDS)

    async def _end(self) -> None:
        self._lose("the connection is closed")
        await asyncio.wait([self._life])

    async def _live(self) -> None:
        """Be the connection's life, until it is lost."""
        why = f"the connection to {self.where} is lost"
        try:
            async with asyncio.TaskGroup() as tasks:
                timing = tasks.create_task(self._keep_time())
                await whenever_readable(self._channel.fileno(), self._receive)
                timing.cancel()
        except* (OSError, EOFError, SSHException, RemoteError, msgspec.MsgspecError) as group:
            self._lose(f"{why} ({group.exceptions[0] or type(group.exceptions[0]).__name__})")
        except* Exception as group:  # noqa: BLE001 - every machine over there hears of it
            self._lose(f"the lab stumbled ({group.exceptions[0]!r})", InfraError)

    def _receive(self) -> bool:
        """Take what there is; tell whether there may be more."""
        self._quiet, self._patience = 0.0, self._silence
        over = self._channel.eof_received or self._channel.closed  # if so, all is there
        while self._channel.recv_stderr_ready():  # the peer's last words, if any
            self._complaint = (self._complaint + self._channel.recv_stderr(_PIECE))[-_PIECE:]
        while self._channel.recv_ready():
            for packet in self._decoder.feed(self._channel.recv(_PIECE)):
                self._take(packet)
        if over:
            self._lose(f"the connection to {self.where} was cut")
        return not self._why

    async def _keep_time(self) -> None:
        """Count for how long the other side has said nothing."""
        while not self._why:
            await asyncio.sleep(self._beat)
            self._quiet += self._beat
            if self._quiet > self._patience:  # the first beat may have been short
                self._lose(f"{self.where} has said nothing for {self._patience:g} s")

    def _take(self, packet: Packet) -> None:
        if packet.kind is Kind.CONTROL:
            self._note(messages.decode(packet.payload, messages.Answer | messages.Event | messages.Failure))
        elif packet.kind is not Kind.HEARTBEAT and packet.machine in self._proxies:
            self._proxies[packet.machine].take(packet)

    def _note(self, message: messages.Answer | messages.Event | messages.Failure) -> None:
        answer, journal = self._asked.get(message.number, (None, None))
        if answer is None or answer.done():
            return
        match message:
            case messages.Answer():
                answer.set_result(message.value)
            case messages.Failure():
                answer.set_exception(messages.error(message, self.where))
            case messages.Event() if journal is not None:
                fields = {name: value for name, value in message.event.items() if name not in ("t", "kind")}
                journal.record(message.event["kind"], **fields)

    def _send_all(self) -> None:
        """Send what is to be sent, and a heartbeat when there is nothing; an empty packet is the end."""
        while data := self._next():
            stuck = 0.0
            while data and not self._why:
                try:
                    data = data[self._channel.send(data) :]
                    stuck = 0.0
                except TimeoutError:
                    stuck += self._beat
                    if stuck >= self._silence:
                        loop().call(self._lose, f"{self.where} has taken nothing for {self._silence:g} s")
                except (OSError, EOFError, SSHException) as error:
                    loop().call(self._lose, f"the connection to {self.where} is lost ({error or type(error).__name__})")

    def _next(self) -> bytes:
        try:
            return self._outgoing.get(timeout=self._beat)
        except queue.Empty:
            return Packet(Kind.HEARTBEAT).encode()

    def _lose(self, why: str, kind: type[LabError] = ConnectionLostError) -> None:
        """End every wait."""
        if not self._why:
            self._why, self._kind = why, kind
            for answer, _ in list(self._asked.values()):
                if not answer.done():
                    answer.set_exception(self.lost)
            for proxy in self._proxies.values():
                proxy.lose()
            self._outgoing.put(b"")
            self._life.cancel()
