"""Five minutes of random work."""

from __future__ import annotations

import pytest

from lab.machine.machine import Machine
from lab.scenario.model import play

GAMES = 8
SECONDS = 300


@pytest.mark.long
@pytest.mark.machine(skip_idle=True)
def test_five_minutes_of_random_work_agree_with_the_model(lab_machine: Machine, seed: int) -> None:
    """Whatever drivers do, with memory pressure and rests between, all words are those of a model in Python.

    The other scenarios show what somebody thought of. Here hypothesis makes up the order of calls; the guest's clock
    goes on for five minutes in all, in which the kernel's daemons do what they do when nobody asks them to.
    """
    play(lab_machine, seed, games=GAMES, calls=40, idle_seconds=SECONDS / GAMES)
