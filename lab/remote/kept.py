"""One QEMU of the keeper: what comes from its lines goes to the other side, and what comes from there to its lines."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable

from lab.machine.loop import loop
from lab.machine.qemu import LINES, LocalQemu
from lab.remote.frames import STATUS, Frame, Kind
from lab.remote.outlet import Outlet

_PIECE = 1 << 16


class Kept:
    """A QEMU with a number; `say` takes its frames. Methods with a leading underscore belong to the loop's thread."""

    def __init__(self, number: int, qemu: LocalQemu, say: Callable[[Frame], None]) -> None:
        """Take over a QEMU that was just started; `attach` then opens its lines."""
        self.qemu = qemu
        self.ended = threading.Event()
        self._number = number
        self._say = say
        self._reading: set[str] = set()
        self._outlets: dict[str, Outlet] = {}

    def attach(self) -> None:
        """Let its lines speak, in the loop's thread."""
        events = loop().events
        for name in LINES:
            self._take_line(name)
        events.add_reader(self.qemu.words, self._pass_words)
        events.add_reader(self.qemu.gone, self._end)

    def deliver(self, frame: Frame) -> None:
        """Bring bytes to one of its lines, in the loop's thread."""
        if not self.ended.is_set():
            self._outlets[frame.kind.name.lower()].send(frame.payload)

    def settle(self) -> bool:
        """Pass on all that it has said; tell whether it left something of the agent's line unread."""
        return loop().call(self._settle)

    def renew_agent_line(self) -> None:
        """Make a new line for the agent, whose far end QEMU gets, and drop the old one."""
        near = self.qemu.offer_agent_line()

        def take() -> None:
            loop().events.remove_reader(self.qemu.near["agent"])
            self._outlets["agent"].forget()
            self.qemu.near["agent"].close()
            self.qemu.near["agent"] = near
            self._take_line("agent")

        loop().call(take)

    def pause(self, *, on: bool) -> None:
        """Read nothing from its lines for a while, or again, in the loop's thread."""
        for name in self._reading:
            end = self.qemu.near[name]
            if on:
                loop().events.remove_reader(end)
            else:
                loop().events.add_reader(end, self._pass, name)

    def drop(self, seconds: float) -> None:
        """Kill it, wait for its end, and let everything go."""
        self.qemu.kill()
        self.ended.wait(seconds)
        loop().call(self._let_go)
        self.qemu.close()

    def _take_line(self, name: str) -> None:
        end = self.qemu.near[name]
        end.setblocking(False)
        self._outlets[name] = Outlet(end.fileno(), loop().events)
        self._reading.add(name)
        loop().events.add_reader(end, self._pass, name)

    def _pass(self, name: str) -> bool:
        """Pass on a piece of what a line brings; tell whether there may be more."""
        try:
            data = self.qemu.near[name].recv(_PIECE)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if data:
            self._say(Frame(Kind[name.upper()], self._number, data))
            return True
        loop().events.remove_reader(self.qemu.near[name])
        self._reading.discard(name)
        return False

    def _pass_words(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self.qemu.words, _PIECE):
                self._say(Frame(Kind.WORDS, self._number, data))
            loop().events.remove_reader(self.qemu.words)

    def _drain(self) -> None:
        for name in sorted(self._reading):
            while self._pass(name):
                pass

    def _settle(self) -> bool:
        self._drain()
        return bool(self._outlets["agent"].waiting) or self.qemu.settle()

    def _end(self) -> None:
        loop().events.remove_reader(self.qemu.gone)
        status = self.qemu.reap() or 0
        self._drain()
        self._pass_words()
        self._say(Frame(Kind.ENDED, self._number, STATUS.pack(status)))
        self.ended.set()

    def _let_go(self) -> None:
        events = loop().events
        for outlet in self._outlets.values():
            outlet.forget()
        for end in self.qemu.near.values():
            events.remove_reader(end)
        events.remove_reader(self.qemu.words)
        events.remove_reader(self.qemu.gone)
