"""One QEMU process with its lines: started, watched, and gone without a trace."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from lab.errors import GuestFault, HostError, LabError, MachineError
from lab.journal import Journal
from lab.machine.console import Console
from lab.machine.line import Line
from lab.machine.loop import loop
from lab.machine.qemu import AGENT_LINE, Qemu
from lab.machine.qmp import Qmp
from lab.machine.symbols import Symbols
from lab.machine.watch import HEARTBEAT, Watch

START_SECONDS = 20.0
END_SECONDS = 10.0
KILLED_SECONDS = 60.0  # it may still wait for the host's disk, since it gives back its overlays


class GuestReset(GuestFault):
    """The guest reset itself or switched itself off, and its console does not say why."""


class Session:
    """QEMU from start to end. `watch` ends every wait; `console`, `line` and `qmp` are its lines."""

    def __init__(
        self,
        qemu: Qemu,
        *,
        symbols: Symbols,
        journal: Journal,
        log: Path | None,
        ready: Callable[[str], None],
    ) -> None:
        """Take over a QEMU that was just started, its end included; `ready(doing)` guards the agent's line.

        MachineError: it does not come up, with its own words.
        """
        self.watch = Watch(qemu.books)
        self._qemu = qemu
        self._words = b""
        self._status: int | None = None
        self._shutdown = ""
        self._gone = threading.Event()
        self._closed = False
        try:
            self.console = Console(self.watch, journal, symbols, self._later, log)
        except BaseException:  # a log that cannot be written
            qemu.kill()
            qemu.close()
            raise
        self.line = Line(qemu.near["agent"], self.watch, journal, ready, self.console.tail)
        self.qmp = Qmp(self.watch, journal, self._on_event)
        journal.record("command", argv=qemu.argv, cwd="", seconds=0.0, returncode=None)
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        loop().call(self._listen)
        try:
            loop().run(self.qmp.connect(self._qemu.near["qmp"]), START_SECONDS)
        except TimeoutError as error:
            raise MachineError(f"QEMU does not answer within {START_SECONDS:g} s", seen=self.words()) from error
        except Exception as error:
            otherwise = MachineError(f"no QMP ({error})", doing="starting QEMU", seen=self.words())
            raise self.watch.verdict(otherwise) from error

    def _listen(self) -> None:
        qemu = self._qemu
        qemu.near["console"].setblocking(False)
        self._read(qemu.near["console"], self._read_console)
        self._read(qemu.near["agent"], self._read_agent)
        self._read(qemu.words, self._read_words)
        self._read(qemu.gone, self._ended)

    def _read(self, end: socket.socket | int, function: Callable[[], None]) -> None:
        """Call the function whenever there is something to read; what it raises ends the machine."""
        loop().events.add_reader(end, self.watch.guarded(function))

    def _later(self, seconds: float, function: Callable[[], None]) -> asyncio.TimerHandle:
        return loop().events.call_later(seconds, self.watch.guarded(function))

    @property
    def pid(self) -> int:
        """QEMU's process id, on its host."""
        return self._qemu.pid

    @property
    def disks(self) -> list[str]:
        """The block nodes that have an overlay."""
        return self._qemu.disks

    @property
    def ended(self) -> bool:
        """Whether QEMU is gone."""
        return self._gone.is_set()

    def words(self) -> list[str]:
        """Return what QEMU itself has printed, at most the last lines of it."""
        return self._words.decode(errors="replace").splitlines()[-15:]

    def rewind(self, why: str) -> None:
        """Forget all that belongs to the time before a restore, fault included; the guest must be stopped.

        Bytes to the guest that it never read would reach the restored one: then the agent's line is made anew.
        """
        unread = self._qemu.settle()
        loop().call(self._forget, why)
        if unread:
            self._renew_agent_line()

    def _forget(self, why: str) -> None:
        self._drain()
        self.console.rewind(why)
        self.line.reset(f"the machine was {why}")
        if not self.ended:
            self.watch.forget()

    def _renew_agent_line(self) -> None:
        near = self._qemu.offer_agent_line()
        self.qmp.execute("getfd", {"fdname": AGENT_LINE})
        backend = {"addr": {"type": "fd", "data": {"str": AGENT_LINE}}, "server": False}
        self.qmp.execute("chardev-change", {"id": "agent", "backend": {"type": "socket", "data": backend}})

        def take() -> None:
            loop().events.remove_reader(self._qemu.near["agent"])
            self._qemu.near["agent"].close()
            self._qemu.near["agent"] = near
            self.line.use(near)
            self._read(near, self._read_agent)

        loop().call(take)

    def memory(self, address: int, size: int) -> bytes:
        """Return guest-physical memory, by way of a file that has no name."""
        self.qmp.execute("pmemsave", {"val": address, "size": size, "filename": self._qemu.dump}, START_SECONDS)
        return self._qemu.read_dump(size)

    def swap_contents(self, offset: int, size: int) -> bytes:
        """Return what is on the swap disk, within 64 KiB; the guest must be stopped."""
        return self._qemu.read_swap(offset, size)

    def quit(self) -> Qemu:
        """Let QEMU end by itself, so that it writes out what it holds of the overlays, and return it."""
        with contextlib.suppress(MachineError, GuestFault):
            self.qmp.execute("quit")
        end = self.watch.deadline(END_SECONDS)
        while not self._gone.wait(max(0.0, min(end.left, HEARTBEAT))):
            if end.passed():
                seen = [*self.words(), *self._qemu.threads()]
                raise MachineError(f"QEMU does not end within {end}", doing="quitting QEMU", seen=seen)
        return self._qemu

    def close(self) -> None:
        """Kill QEMU if it still runs, and let everything go; may be called twice.

        LabError: it could not be killed, such as one on another host that does not answer; all else is let go.
        """
        if not self._closed:
            self._closed = True
            with ExitStack() as last:
                last.callback(self._qemu.close)
                last.callback(loop().call, self._let_go)
                last.callback(lambda: loop().run(self.qmp.disconnect(), START_SECONDS))  # or it holds its line
                if not self._gone.is_set():
                    self._qemu.kill()
                    self._gone.wait(KILLED_SECONDS)

    def _let_go(self) -> None:
        events = loop().events
        for end in self._qemu.near.values():
            events.remove_reader(end) if end.fileno() >= 0 else None
        events.remove_reader(self._qemu.words)
        events.remove_reader(self._qemu.gone)
        self.console.close()

    def _read_console(self) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionError):
            data = self._qemu.near["console"].recv(65536)
            if data:
                self.console.feed(data)
            else:
                loop().events.remove_reader(self._qemu.near["console"])

    def _read_agent(self) -> None:
        if not self.line.receive():  # or the loop would call us for its end, again and again
            loop().events.remove_reader(self._qemu.near["agent"])

    def _read_words(self) -> None:
        with contextlib.suppress(BlockingIOError):
            data = os.read(self._qemu.words, 65536)
            if data:
                self._words = (self._words + data)[-65536:]
            else:
                loop().events.remove_reader(self._qemu.words)

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionError):
            while data := self._qemu.near["console"].recv(65536):
                self.console.feed(data)
        self.line.receive()

    def _ended(self) -> None:
        loop().events.remove_reader(self._qemu.gone)
        self.watch.expect()
        self._obituary = asyncio.ensure_future(self._write_obituary())

    async def _write_obituary(self) -> None:
        """Read what QEMU left behind, and only then say why it is gone."""
        try:
            self._status = self._qemu.reap()
            self._drain()
            self._read_words()
            self.console.finish()
            await self.qmp.disconnect()
        finally:
            self.watch.fail(self._why_ended)
            self._gone.set()

    def _why_ended(self) -> LabError:
        lost = self._qemu.lost()
        if lost is not None:
            return lost
        doing = f"watching QEMU (pid {self.pid}{self._qemu.where})"
        if self._status == 0 and self._shutdown in ("", "guest-reset", "guest-shutdown", "guest-panic"):
            return GuestReset(
                f"the guest ended the machine ({self._shutdown or 'no reason given'}) and did not say why",
                doing=doing,
                seen=self.console.tail(),
                log=self.console.log,
                hint="a triple fault looks like this: code for a newer CPU, or a wild jump",
            )
        if self._status is not None and self._status < 0:
            name = signal.Signals(-self._status).name
            return MachineError(f"QEMU was killed by {name}", doing=doing, seen=self.words())
        hint = "QEMU's sandbox needs a kernel with seccomp" if b"seccomp" in self._words else ""
        how = "QEMU was told to quit" if self._shutdown else f"QEMU ended with status {self._status}"
        return MachineError(how, doing=doing, seen=self.words(), hint=hint)

    def _on_event(self, name: str, data: dict[str, Any]) -> None:
        if name == "SHUTDOWN":
            self._shutdown = str(data.get("reason", ""))
        elif name == "BLOCK_IO_ERROR" and data.get("action") == "stop":
            self.watch.fail(
                lambda: HostError(
                    f"QEMU could not write to its disk's overlay: {data.get('reason', '')}",
                    hint="free some space, or set KVMD_LAB_CACHE to a folder on another disk",
                )
            )
