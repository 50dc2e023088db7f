"""More commands than a thread has slots: they wait, none fails, none is lost, and each gets its own answer."""

from __future__ import annotations

import pytest

from lab.machine.agent import rounds_done
from lab.machine.machine import Machine
from lab.scenario.acts import EAGER, ONE_THREAD, REGIONS, left_over, rush, together, workers
from lab.scenario.kvmd import Kvmd

SENDERS, ROUNDS = 22, 15


@pytest.mark.machine(append=ONE_THREAD)
def test_more_commands_than_slots_wait_and_are_all_answered(lab_machine: Machine, kvmd: Kvmd, seed: int) -> None:
    """22 processes send to one thread as fast as they can; 16 commands fit, the others wait their turn.

    The RFC asked ten thousand times for a free slot and then failed; and it gave a slot away before the answer was
    read, so a process could get the address that was meant for another one. Here every call succeeds, every command is
    counted, and no process finds another's words in its memory. The processes come before the thread whenever both
    could run, so the slots do fill up on one processor as well.
    """
    owners = [device.open() for device in workers(lab_machine, SENDERS, EAGER)]
    before = kvmd.stats()
    said = [rounds_done(pending) for pending in rush(lab_machine, owners, ROUNDS, seed)]
    after = kvmd.stats()
    assert [(one.done, one.wrong) for one in said] == [(ROUNDS, 0)] * SENDERS
    assert after.commands - before.commands == SENDERS * ROUNDS * REGIONS * 2
    assert after.refused == before.refused
    assert after.queue_waits > before.queue_waits
    together(owner.close for owner in owners)
    assert left_over(kvmd.stats()) == {}
