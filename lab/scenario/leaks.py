"""Kernel memory that nobody points to any more, as kmemleak finds it: the last look at a guest after a scenario."""

from __future__ import annotations

from lab.errors import GuestFault
from lab.journal import Journal
from lab.machine import frames, protocol
from lab.machine.agent import Agent
from lab.machine.machine import Machine
from lab.machine.rpc import RefusedError
from lab.scenario.acts import idle

KMEMLEAK = "/debug/kmemleak"
SCAN_SECONDS = 60.0
AGE_SECONDS = 0.25  # it does not report what is younger than 200 ms (the ledger's record leaks-are-young)
_SHOWN = 40
_SIZE = frames.MAX_PAYLOAD - 64


def watches(agent: Agent) -> bool:
    """Tell whether the guest's kernel has kmemleak."""
    try:
        agent.read_file(KMEMLEAK)
    except RefusedError:
        return False
    return True


def check_leaks(machine: Machine, journal: Journal) -> None:
    """Let kmemleak look for memory that nobody points to; a GuestFault shows who allocated it.

    A kernel without kmemleak passes. The first look only remembers what each object holds; one that changed since is
    in somebody's hands and is not reported, so it takes a second one. When that begins all that the scenario allocated
    is old enough to be reported; mostly the first look took so long.
    """
    agent = machine.agent
    if not watches(agent):
        return
    with journal.stage("leaks"):
        begin = agent.time().ticks
        found = _look(agent)
        idle(agent, AGE_SECONDS, begin)
        found = found or _look(agent)
    journal.record("check", what="kernel memory that nobody points to", passed=not found, expected=[], actual=found)
    if found:
        raise GuestFault(
            "kernel memory is allocated, and nobody points to it", doing="looking for leaks", seen=found[:_SHOWN]
        )
    machine.check()


def _look(agent: Agent) -> list[str]:
    agent.write_file(KMEMLEAK, b"scan", SCAN_SECONDS)
    return _report(agent)


def _report(agent: Agent) -> list[str]:
    """The beginning of kmemleak's list; mostly the console has told of it before, and the watch ends us."""
    request = protocol.PAIR.pack(0, _SIZE) + KMEMLEAK.encode()
    return agent.request(protocol.Op.READ_FILE, request, SCAN_SECONDS).decode(errors="replace").splitlines()
