"""A QEMU of the peer: what it says goes to the other side as packets, and what comes from there to it."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable
from functools import partial

from lab.machine.loop import CALL_SECONDS, loop
from lab.machine.qemu import SOCKETS, WORDS, LocalQemu
from lab.remote.packets import STATUS, Kind, Packet


class HostedQemu:
    """A QEMU with a number, from its start to its end; `say` takes its packets, in the loop's thread."""

    def __init__(self, number: int, qemu: LocalQemu, say: Callable[[Packet], None]) -> None:
        """Take over a QEMU that was just started."""
        self.qemu = qemu
        self.ended = threading.Event()
        self._number = number
        self._say = say
        self._life = loop().start(self._live())

    async def _live(self) -> None:
        """Be its life: pass on what it says, and last of all how it ended."""
        status: int | None = None
        try:
            status = await self.qemu.serve(
                {name: partial(self._pass, Kind[name.upper()]) for name in (*SOCKETS, WORDS)}
            )
        finally:
            self.qemu.kill()
            try:
                self._pass(Kind.ENDED, STATUS.pack(-signal.SIGKILL if status is None else status))
            finally:
                self.ended.set()

    def deliver(self, packet: Packet) -> None:
        """Bring it what comes from the other side, in the loop's thread."""
        self.qemu.send(packet.kind.name.lower(), packet.payload)

    def drop(self, seconds: float) -> None:
        """Kill it, wait for its end, and let everything go."""
        self.qemu.kill()
        if not self.ended.wait(seconds):
            loop().run(self._give_up(), CALL_SECONDS)
        self.qemu.close()

    async def _give_up(self) -> None:
        """Let go of a QEMU that cannot even be killed, before its descriptors are somebody else's."""
        self._life.cancel()
        await asyncio.wait([self._life])

    def _pass(self, kind: Kind, data: bytes) -> None:
        self._say(Packet(kind, self._number, data))
