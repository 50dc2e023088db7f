"""All that goes on between the lab and one QEMU, from its start to its end: one task that reads, one verdict."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from lab.errors import GuestFault, HostError, LabError, MachineError
from lab.journal import Journal
from lab.machine.console import Console
from lab.machine.loop import SLICE_SECONDS, loop
from lab.machine.qemu import AGENT_FD, WORDS, Qemu
from lab.machine.qmp import Qmp
from lab.machine.rpc import AgentRpc
from lab.machine.symbols import Symbols
from lab.machine.watch import Watch

START_SECONDS = 20.0
END_SECONDS = 10.0
KILLED_SECONDS = 60.0  # it may still wait for the host's disk, since it gives back its overlays


class GuestReset(GuestFault):
    """The guest reset itself or switched itself off, and its console does not say why."""


class Session:
    """QEMU from start to end. `watch` ends every wait; `console`, `rpc` (the agent's) and `qmp` are the ways to it.

    One task, `_live`, holds all that reads from this QEMU: whatever fails in there ends the machine with a verdict, and
    with the machine it ends.
    """

    def __init__(
        self,
        qemu: Qemu,
        *,
        symbols: Symbols,
        journal: Journal,
        log: Path | None,
        ready: Callable[[str], None],
    ) -> None:
        """Take over a QEMU that was just started, its end included; `ready(doing)` guards the agent's port.

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
        self.rpc = AgentRpc(qemu.agent, self.watch, journal, ready, self.console.tail)
        self.qmp = Qmp(self.watch, journal, self._on_event)
        self._life: asyncio.Task[None] | None = None
        try:
            journal.record("command", argv=qemu.argv, cwd="", seconds=0.0, returncode=None)
            loop().start(self._live())
            self._connect()
        except BaseException:
            self.close()
            raise

    def _connect(self) -> None:
        try:
            loop().run(self.qmp.connect(self._qemu.qmp), START_SECONDS)
        except TimeoutError as error:
            silent = MachineError(f"QEMU does not answer within {START_SECONDS:g} s", seen=self.words())
            raise self.watch.verdict(silent) from error
        except Exception as error:
            otherwise = MachineError(f"no QMP ({error})", doing="starting QEMU", seen=self.words())
            raise self.watch.verdict(otherwise) from error

    async def _live(self) -> None:
        """Be the machine's life: hear what comes until QEMU is gone, and only then say why it is."""
        self._life = asyncio.current_task()
        hearers = {"console": self.console.feed, "agent": self.rpc.receive, WORDS: self._hear}
        try:
            async with asyncio.TaskGroup() as self._tasks:
                events = self._tasks.create_task(self._events())
                with self._telling():
                    self._status = await self._qemu.serve(hearers)
                    self.watch.expect()
                    self.console.finish()
                    await self.qmp.disconnect()
                    self.qmp.flush()
                events.cancel()
        except* Exception:  # noqa: BLE001 - it was told
            with contextlib.suppress(LabError):
                await asyncio.to_thread(self._qemu.kill)  # it may have to ask another host
                self._status = await self._qemu.serve({})
        finally:
            try:
                self.console.close()
                await self.qmp.disconnect()
            finally:
                self.watch.fail(self._why_ended)
                self._gone.set()

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        """Let what goes wrong in here be the verdict at once."""
        try:
            yield
        except Exception as error:
            self.watch.stumble(_first(error))
            raise

    async def _events(self) -> None:
        with self._telling():
            await self.qmp.events()

    def _later(self, seconds: float, function: Callable[[], None]) -> asyncio.Task[None]:
        async def wait() -> None:
            await asyncio.sleep(seconds)
            with self._telling():
                function()

        return self._tasks.create_task(wait())

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

        Bytes to the guest that it never read would reach the restored one: then the agent's port gets a new socket.
        """
        unread = self._qemu.drain()
        loop().call(self._forget, why)
        if unread:
            self._renew_agent()

    def _forget(self, why: str) -> None:
        self.console.rewind(why)
        self.rpc.reset(f"the machine was {why}")
        if not self.ended:
            self.watch.forget()

    def _renew_agent(self) -> None:
        self._qemu.renew_agent()
        self.rpc.use(self._qemu.agent)
        self.qmp.execute("getfd", {"fdname": AGENT_FD})
        backend = {"addr": {"type": "fd", "data": {"str": AGENT_FD}}, "server": False}
        self.qmp.execute("chardev-change", {"id": "agent", "backend": {"type": "socket", "data": backend}})

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
        while not self._gone.wait(max(0.0, min(end.left, SLICE_SECONDS))):
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
                last.callback(lambda: loop().run(self._end(), START_SECONDS))
                if not self._gone.is_set():
                    self._qemu.kill()
                    self._gone.wait(KILLED_SECONDS if self._life is not None else 0.0)

    async def _end(self) -> None:
        """Let the machine's task end, which may be busy with that."""
        if self._life is None:  # it never began
            await self._live()
            return
        if not self._gone.is_set():
            self._life.cancel()
        await asyncio.wait([self._life])

    def _hear(self, words: bytes) -> None:
        self._words = (self._words + words)[-65536:]

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


def _first(error: Exception) -> Exception:
    """Return the first error of a group of tasks."""
    return _first(error.exceptions[0]) if isinstance(error, ExceptionGroup) else error
