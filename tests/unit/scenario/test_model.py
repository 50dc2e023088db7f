"""The game of the soak: what it takes from Hypothesis that has no promise, and whose trouble ends it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis.internal.conjecture import engine

from lab.errors import MachineError
from lab.scenario.model import play


def test_hypothesis_still_has_the_limit_of_shrinking() -> None:
    """It is no setting: without it a soak that fails takes five minutes to tell."""
    assert isinstance(engine.MAX_SHRINKING_SECONDS, int | float)


def test_trouble_of_the_host_is_told_as_such_and_not_looked_for_again() -> None:
    asked: list[str] = []

    def restore() -> None:
        asked.append("restore")
        raise MachineError("the job is running after 60 s")

    machine = SimpleNamespace(restore=restore)
    with pytest.raises(MachineError, match="the job is running after 60 s"):
        play(cast("Any", machine), 1, games=5, calls=5, idle_seconds=0.0)
    assert asked == ["restore"]
