"""One QEMU process with its lines: started, watched, and gone without a trace."""

from __future__ import annotations

import array
import asyncio
import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import termios
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lab.errors import GuestFault, HostError, LabError, MachineError
from lab.journal import Journal
from lab.machine import options
from lab.machine.console import Console
from lab.machine.disks import Overlays
from lab.machine.line import Line
from lab.machine.loop import loop
from lab.machine.qmp import Qmp
from lab.machine.spec import MachineSpec, Parts
from lab.machine.symbols import Symbols
from lab.machine.watch import Watch
from lab.process import require

START_SECONDS = 20.0
END_SECONDS = 10.0
# A process that was killed may still wait for the host's disk: it gives back its overlays, and right after a kernel was
# built the file system was seen to take longer than ten seconds for that.
KILLED_SECONDS = 60.0


class GuestReset(GuestFault):
    """The guest reset itself or switched itself off, and its console does not say why."""


class Session:
    """QEMU from start to end. `watch` ends every wait; `console`, `line` and `qmp` are its lines.

    No name on the host's file system belongs to a session: the lines are socket pairs, the overlays unnamed files,
    and what QEMU prints comes through a pipe.
    """

    def __init__(
        self,
        binary: str,
        spec: MachineSpec,
        parts: Parts,
        accel: str,
        overlays: Overlays,
        *,
        symbols: Symbols,
        journal: Journal,
        log: Path | None,
        ready: Callable[[str], None],
        load: str = "",
    ) -> None:
        """Start QEMU; `load` names a snapshot to begin with, `ready(doing)` guards the agent's line.

        HostError: there is no QEMU. MachineError: it does not start, with its own words. The caller owns `overlays`.
        """
        self.watch = Watch()
        self.overlays = overlays
        self._journal = journal
        self._words = b""
        self._status: int | None = None
        self._shutdown = ""
        self._gone = threading.Event()
        self._dump = os.memfd_create("pmemsave")
        self._near = {name: socket.socketpair() for name in ("qmp", "console", "agent")}
        wiring = options.Wiring(
            **{name: far.fileno() for name, (_, far) in self._near.items()},
            root=overlays.root.fileno(),
            swap=None if overlays.swap is None else overlays.swap.fileno(),
        )
        self.options = [
            *options.hardware(spec, accel),
            *options.confinement(),
            *options.boot(spec, parts),
            *options.disks(spec, parts, wiring),
            *options.lines(wiring),
        ]
        if load:
            self.options.append(options.Option("-loadvm", load, "begin where the snapshot was taken"))
        self.console = Console(self.watch, journal, symbols, loop().events.call_later, log)
        self.line = Line(self._near["agent"][0], self.watch, journal, ready, self.console.tail)
        self.qmp = Qmp(self.watch, journal, self._on_event)
        try:
            self._start(options.command(require(binary, "qemu-system-x86"), self.options))
        except BaseException:
            self.close()
            raise

    def _start(self, argv: list[str]) -> None:
        # setpriv rather than a function between fork and exec: this process has threads, whose locks the child would
        # inherit. A process group of its own keeps the terminal's Ctrl-C away from QEMU: the lab ends it.
        argv = [require("setpriv", "util-linux"), "--pdeathsig", "KILL", "--", *argv]
        self._journal.record("command", argv=argv, cwd="", seconds=0.0, returncode=None)
        far = [end for _, end in self._near.values()]
        files = [file.fileno() for file in (self.overlays.root, self.overlays.swap) if file is not None]
        numbers = [*(end.fileno() for end in far), *files, self._dump]
        loop().call(self._spawn, argv, numbers)
        for end in far:
            end.close()
        try:
            loop().run(self.qmp.connect(self._near["qmp"][0]), START_SECONDS)
        except TimeoutError as error:
            raise MachineError(f"QEMU does not answer within {START_SECONDS:g} s", seen=self.words()) from error
        except Exception as error:
            otherwise = MachineError(f"no QMP ({error})", doing="starting QEMU", seen=self.words())
            raise self.watch.verdict(otherwise) from error

    def _spawn(self, argv: list[str], numbers: list[int]) -> None:
        self._process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=numbers,
            process_group=0,
        )
        self._pidfd = os.pidfd_open(self._process.pid)
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdout.fileno(), False)
        self._near["console"][0].setblocking(False)
        events = loop().events
        events.add_reader(self._near["console"][0], self._read_console)
        events.add_reader(self._near["agent"][0], self.line.receive)
        events.add_reader(self._process.stdout, self._read_words)
        events.add_reader(self._pidfd, self._ended)

    @property
    def pid(self) -> int:
        """QEMU's process id."""
        return self._process.pid

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
        loop().call(self._forget, why)
        if _unread(self._near["agent"][0]):
            self._renew_agent_line()

    def _forget(self, why: str) -> None:
        self._drain()
        self.console.rewind(why)
        self.line.reset(f"the machine was {why}")
        if not self.ended:
            self.watch.forget()

    def _renew_agent_line(self) -> None:
        near, far = socket.socketpair()
        with far:
            self.qmp.give("agent-line", far.fileno())
        backend = {"addr": {"type": "fd", "data": {"str": "agent-line"}}, "server": False}
        self.qmp.execute("chardev-change", {"id": "agent", "backend": {"type": "socket", "data": backend}})

        def take() -> None:
            loop().events.remove_reader(self._near["agent"][0])
            self._near["agent"][0].close()
            self._near["agent"] = (near, self._near["agent"][1])
            self.line.use(near)
            loop().events.add_reader(near, self.line.receive)

        loop().call(take)

    def memory(self, address: int, size: int) -> bytes:
        """Return guest-physical memory, by way of a file that has no name."""
        self.qmp.execute(
            "pmemsave", {"val": address, "size": size, "filename": options.DUMP.format(self._dump)}, START_SECONDS
        )
        return os.pread(self._dump, size, 0)

    def quit(self) -> None:
        """Let QEMU end by itself, so that it writes out what it holds of the overlays."""
        with contextlib.suppress(MachineError, GuestFault):
            self.qmp.execute("quit")
        if not self._gone.wait(END_SECONDS):
            raise MachineError("QEMU does not end", doing="quitting QEMU", seen=self.words())

    def close(self) -> None:
        """Kill QEMU if it still runs, and let everything go; may be called twice, and on one that never started."""
        if hasattr(self, "_pidfd"):
            if not self._gone.is_set():
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            self._gone.wait(KILLED_SECONDS)
        loop().call(self._let_go)

    def _let_go(self) -> None:
        if self._dump < 0:
            return
        events = loop().events
        for near, far in self._near.values():
            events.remove_reader(near) if near.fileno() >= 0 else None
            near.close()
            far.close()
        if hasattr(self, "_pidfd"):
            assert self._process.stdout is not None
            events.remove_reader(self._process.stdout)
            self._process.stdout.close()
            os.close(self._pidfd)
        os.close(self._dump)
        self._dump = -1
        self.console.close()

    def _read_console(self) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionError):
            data = self._near["console"][0].recv(65536)
            if data:
                self.console.feed(data)
            else:
                loop().events.remove_reader(self._near["console"][0])

    def _read_words(self) -> None:
        assert self._process.stdout is not None
        data = self._process.stdout.read()
        if data:
            self._words = (self._words + data)[-65536:]
        elif data == b"":
            loop().events.remove_reader(self._process.stdout)

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionError):
            while data := self._near["console"][0].recv(65536):
                self.console.feed(data)
        self.line.receive()

    def _ended(self) -> None:
        loop().events.remove_reader(self._pidfd)
        self.watch.expect()
        self._obituary = asyncio.ensure_future(self._write_obituary())

    async def _write_obituary(self) -> None:
        """Read what QEMU left behind, and only then say why it is gone."""
        try:
            self._status = self._process.wait()
            self._drain()
            self._read_words()
            self.console.finish()
            await self.qmp.disconnect()
        finally:
            self.watch.fail(self._why_ended)
            self._gone.set()

    def _why_ended(self) -> LabError:
        doing = f"watching QEMU (pid {self.pid})"
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


def _unread(end: socket.socket) -> int:
    count = array.array("i", [0])
    fcntl.ioctl(end, termios.TIOCOUTQ, count)
    return count[0]
