"""QMP commands as plain calls, each with a deadline and raced with QEMU's end; events to a function.

`qemu.qmp` 0.0.6 does the protocol. What it leaves to its user, and is done here: a deadline for each command; a queue
of all events that grows without bound (switched off); the end of QEMU, which it tells only to whoever disconnects;
errors of jobs, which are not in a command's reply.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any

from qemu.qmp import ExecuteError, Message, QMPClient, QMPError
from qemu.qmp.events import EventListener

from lab.errors import MachineError
from lab.journal import Journal
from lab.machine.loop import loop
from lab.machine.watch import Watch

COMMAND_SECONDS = 10.0
JOB_SECONDS = 60.0  # as long as the host's disk may take for a snapshot

# the library logs what it also raises; without a handler Python would print that to standard error
logging.getLogger("qemu.qmp").addHandler(logging.NullHandler())


class _Queue(EventListener):
    """A queue of events that keeps none of those that were taken out of it."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: asyncio.Queue[Message] = asyncio.Queue()

    def accept(self, event: Message) -> bool:
        self.waiting.put_nowait(event)
        return False


class Qmp:
    """One connection; `on_event(name, data)` is called in the loop's thread."""

    def __init__(self, watch: Watch, journal: Journal, on_event: Callable[[str, dict[str, Any]], None]) -> None:
        self._watch = watch
        self._journal = journal
        self._on_event = on_event
        self._client = QMPClient()
        self._client.events.names = {"none of them"}
        self._events = _Queue()
        self._client.register_listener(self._events)
        self._connecting = asyncio.Lock()
        self._end: socket.socket | None = None
        self._jobs: dict[str, str] = {}
        self._job_numbers = itertools.count(1)

    async def connect(self, end: socket.socket) -> None:
        """Greet QEMU over a connected socket, which then belongs to this connection."""
        async with self._connecting:  # a connect that fails cleans up by itself, and a disconnect then would disturb
            await self._client.connect(end)
            self._end = end

    async def disconnect(self) -> None:
        """End the connection; must be called also when QEMU has ended, and does no harm when called twice."""
        async with self._connecting:
            if self._end is not None:
                self._end = None
                with contextlib.suppress(EOFError, OSError, QMPError):  # how it ended is for the exit status to say
                    await self._client.disconnect()

    async def events(self) -> None:
        """Take events, for ever; a task of the machine."""
        while True:
            self._event(await self._events.waiting.get())

    def flush(self) -> None:
        """Take those that are there."""
        while not self._events.waiting.empty():
            self._event(self._events.waiting.get_nowait())

    def execute(
        self, command: str, arguments: Mapping[str, object] | None = None, deadline: float = COMMAND_SECONDS
    ) -> Any:
        """Return a command's value.

        MachineError: QEMU refuses it, gives no answer within `deadline` seconds, or is gone; if the guest's own fault
        ended QEMU, that GuestFault.
        """
        begin = time.monotonic()
        doing = f"QMP {command}"
        try:
            value = loop().run(self._client.execute(command, arguments), deadline)
        except TimeoutError as error:
            raise MachineError(
                f"no answer within {deadline:g} s", doing=doing, hint="is the host overloaded?"
            ) from error
        except ExecuteError as error:
            raise MachineError(f"QEMU refuses: {error}", doing=doing) from error
        except (QMPError, EOFError, OSError) as error:
            raise self._watch.verdict(MachineError(f"the connection is lost ({error})", doing=doing)) from error
        self._journal.record("qmp", command=command, seconds=time.monotonic() - begin)
        return value

    def job(self, command: str, arguments: Mapping[str, object], deadline: float = JOB_SECONDS) -> None:
        """Run a job to its end. Its command answers {} even if it will fail; what went wrong stands in query-jobs."""
        name = f"lab-{next(self._job_numbers)}"
        self.execute(command, {"job-id": name, **arguments}, deadline)
        end = self._watch.deadline(deadline)
        ended = self._watch.wait(lambda: True if self._jobs.get(name) == "concluded" else None, end)
        doing = f"QMP {command}"
        if ended is None:
            raise MachineError(f"the job is {self._jobs.get(name)} after {end}", doing=doing)
        jobs = {job["id"]: job for job in self.execute("query-jobs")}
        self.execute("job-dismiss", {"id": name})
        del self._jobs[name]
        if "error" in jobs.get(name, {}):
            raise MachineError(str(jobs[name]["error"]), doing=doing)

    def _event(self, event: Message) -> None:
        name, data = str(event["event"]), event.get("data", {})
        assert isinstance(data, dict)
        self._journal.record("qmp", event=name, data=data)
        if name == "JOB_STATUS_CHANGE":
            if data["status"] != "null":
                self._jobs[str(data["id"])] = str(data["status"])
            self._watch.notify()
        self._on_event(name, data)
