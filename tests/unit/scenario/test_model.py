"""What the game of the soak takes from Hypothesis that has no promise."""

from __future__ import annotations

from hypothesis.internal.conjecture import engine


def test_hypothesis_still_has_the_limit_of_shrinking() -> None:
    """It is no setting: without it a soak that fails takes five minutes to tell."""
    assert isinstance(engine.MAX_SHRINKING_SECONDS, int | float)
