"""What scenarios do again and again: work with several workers at once, attach, be refused.

devices = workers(machine, 16)
together(partial(region.fill, seed) for region in regions)
assert refusal(region.free) == "EBUSY"
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TypeVar

from lab.errors import AgentError, MachineError
from lab.machine import protocol
from lab.machine.agent import Agent
from lab.machine.machine import Machine
from lab.machine.pattern import PAGE_SIZE
from lab.machine.protocol import Op
from lab.machine.rpc import Pending, RefusedError
from lab.scenario.kvmd import Attachment, Kvmd, KvmdStats

T = TypeVar("T")
_LOOK_AGAIN_SECONDS = 0.01

GATE = "/tmp/gate"
GATE_SECONDS = 30.0
IDLE_SECONDS = 60.0  # of the guest's own time, for however much is to pass on its clock
TICKS = 100  # a second, of the guest's clock
REGIONS = 4  # of each round in a rush
ONE_THREAD = "kvmd=1,1"  # the kernel's word for a pool of one thread, which all attachments share
EAGER = -20  # of a worker that runs before kvmd's threads do, whenever both could


def workers(machine: Machine, count: int, nice: int = 0) -> list[Kvmd]:
    """Return the control device `count` times, each opened by a process of its own."""
    return [Kvmd(machine.agent.spawn(nice)) for _ in range(count)]


@contextmanager
def under_way(calls: Iterable[Callable[[], T]]) -> Iterator[list[Future[T]]]:
    """Make all calls at once, each in a thread of the host; the end of the `with` waits for them."""
    wanted = list(calls)
    with ThreadPoolExecutor(len(wanted)) as threads:
        yield [threads.submit(call) for call in wanted]


def together(calls: Iterable[Callable[[], T]]) -> list[T]:
    """Make all calls at once and return what they return; the first error is raised."""
    with under_way(calls) as futures:
        return [future.result() for future in futures]


def rush(machine: Machine, owners: Sequence[Attachment], rounds: int, seed: int) -> list[Pending]:
    """Begin rounds of REGIONS small regions each on all attachments at the same moment; `rounds_done` waits for one.

    All processes are there, behind a gate, before the first one starts. The gate is a named pipe: whoever opens it to
    write waits for a reader, and the agent is the reader that lets all of them in. AgentError: not all came in time.
    """
    at_gate, begun = [], []
    for number, owner in enumerate(owners):
        worker = owner.kvmd.worker
        at_gate.append(worker.submit(Op.WRITE_FILE, protocol.PAIR.pack(0, 0) + GATE.encode() + b"\0"))
        begun.append(worker.kvmd_rounds(rounds, PAGE_SIZE, seed + number, regions=REGIONS, handle=owner.handle))
    end = machine.agent.rpc.deadline(GATE_SECONDS)
    while not all(pending.done for pending in at_gate):
        if end.passed():
            waiting = sum(not pending.done for pending in at_gate)
            raise AgentError(f"{waiting} of {len(at_gate)} did not get through within {end}", doing="opening the gate")
        with suppress(RefusedError):  # there is nothing to read
            machine.agent.request(Op.READ_FILE, protocol.PAIR.pack(0, 1) + GATE.encode())
    for pending in at_gate:
        pending.result()
    return begun


def idle(agent: Agent, seconds: float, since: int | None = None) -> None:
    """Let guest time pass, from now on or from `since`, in ticks. MachineError: the guest's clock hardly runs.

    A machine that skips idle time has it pass many times faster than the host's.
    """
    begin = agent.time().ticks if since is None else since
    end = agent.rpc.deadline(IDLE_SECONDS)
    pause = threading.Event()
    while (agent.time().ticks - begin) & 0xFFFFFFFF < seconds * TICKS:
        pause.wait(_LOOK_AGAIN_SECONDS)
        if end.passed():
            raise MachineError("the guest's clock hardly runs", doing=f"waiting for {seconds:g} s of the guest")


def refusal(call: Callable[[], object]) -> str:
    """Return the name of the errno that a call is refused with; nothing, if it is not."""
    try:
        call()
    except RefusedError as refused:
        return refused.name
    return ""


def left_over(stats: KvmdStats) -> dict[str, int]:
    """Return what kvmd still holds for somebody; nothing, after all was closed."""
    names = ("attachments", "regions", "region_bytes", "maps", "mapped_pages")
    return {name: getattr(stats, name) for name in names if getattr(stats, name)}
