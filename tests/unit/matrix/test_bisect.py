"""Where a scenario turns: with few looks, with odds, and never from ends that are not what they are said to be."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from lab.errors import UsageError
from lab.matrix import Cell, CellResult
from lab.matrix.bisect import Probe, bisect

NAMES = [f"2.3.99-pre{number}" for number in range(1, 10)] + [f"2.4.0-test{number}" for number in range(1, 13)]


def results(kernel: str, outcomes: str) -> list[CellResult]:
    """p: passed, f: failed, t: timeout, e: error."""
    words = {"p": "passed", "f": "failed", "t": "timeout", "e": "error"}
    cell = Cell(kernel=kernel, scenario="tour", cpus=1, ram_mib=16, swap_mib=96, seed=1)
    return [CellResult(cell=cell, outcome=words[one], reason="" if one == "p" else "so") for one in outcomes]  # type: ignore[arg-type]


class Kernels:
    """Outcomes by kernel; it counts the looks."""

    def __init__(self, outcomes: Callable[[int], str]) -> None:
        self.outcomes = outcomes
        self.looks: list[str] = []

    @property
    def probe(self) -> Probe:
        def look(kernel: str) -> list[CellResult]:
            self.looks.append(kernel)
            return results(kernel, self.outcomes(NAMES.index(kernel)))

        return look


@pytest.mark.parametrize("turn", range(1, len(NAMES)))
@pytest.mark.parametrize("forwards", [True, False])
def test_turn_is_found_with_few_looks(turn: int, forwards: bool) -> None:
    kernels = Kernels(lambda place: "ppp" if (place < turn) == forwards else "fff")
    good, bad = (NAMES[0], NAMES[-1]) if forwards else (NAMES[-1], NAMES[0])
    found = bisect("tour", NAMES, good, bad, kernels.probe)
    assert (found.before.kernel, found.after.kernel) == (NAMES[turn - 1], NAMES[turn])
    assert len(kernels.looks) == len(set(kernels.looks)) <= 2 + 5
    first, then = ("passes", "fails") if forwards else ("fails", "passes")
    sentence = f"tour {first} up to {NAMES[turn - 1]} and {then} from {NAMES[turn]} on"
    assert (
        str(found) == f"{sentence} (one that fails every other time would look like the good side with odds of 12.5%)"
    )


def test_release_that_can_not_be_tried_is_gone_round_and_named() -> None:
    kernels = Kernels(lambda place: "eee" if place in (9, 10, 11) else "ppp" if place < 9 else "fff")
    found = bisect("tour", NAMES, NAMES[0], NAMES[-1], kernels.probe)
    assert (found.before.kernel, found.after.kernel) == (NAMES[8], NAMES[12])
    assert f"({', '.join(NAMES[9:12])} could not be tried;" in str(found)


@pytest.mark.parametrize("seed", range(20))
def test_whatever_can_not_be_tried_the_ends_of_the_turn_were(seed: int) -> None:
    draw = random.Random(seed)
    turn = draw.randrange(1, len(NAMES))
    lost = {place for place in range(1, len(NAMES) - 1) if draw.random() < 0.4}
    found = bisect(
        "tour", NAMES, NAMES[0], NAMES[-1], Kernels(lambda n: "e" if n in lost else "p" if n < turn else "f").probe
    )
    before, after = NAMES.index(found.before.kernel), NAMES.index(found.after.kernel)
    assert before < turn <= after
    assert set(range(before + 1, after)) <= lost
    assert [NAMES.index(one.kernel) for one in found.between] == list(range(before + 1, after))


def test_flaky_one_counts_as_bad_and_is_told() -> None:
    kernels = Kernels(lambda place: "pppp" if place < 4 else "ppfp")
    found = bisect("tour", NAMES, NAMES[0], NAMES[-1], kernels.probe)
    assert (found.after.kernel, found.after.verdict, found.after.reason) == (NAMES[4], "flaky", "so")
    assert f"fails at times from {NAMES[4]} on (on {NAMES[4]} 1 times of 4; one that fails as often" in str(found)
    assert found.odds == pytest.approx(0.75**4)


def test_no_end_is_a_failure_too() -> None:
    assert bisect("tour", NAMES[:2], NAMES[0], NAMES[1], Kernels("pt".__getitem__).probe).after.failed == 1


@pytest.mark.parametrize(
    ("good", "bad", "outcomes", "said"),
    [
        (0, 3, "fppf", "2.3.99-pre1 is said to be good"),
        (0, 3, "eppf", "2.3.99-pre1: could not be tried"),
        (0, 3, "pppp", "2.3.99-pre4 is said to be bad"),
        (0, 3, "pppe", "2.3.99-pre4 is said to be bad"),
        (1, 1, "pppp", "can't be both good and bad"),
    ],
)
def test_ends_that_are_not_what_they_are_said_to_be(good: int, bad: int, outcomes: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        bisect("tour", NAMES[:4], NAMES[good], NAMES[bad], Kernels(outcomes.__getitem__).probe)
    assert said in str(caught.value)


def test_unknown_end_is_refused() -> None:
    with pytest.raises(UsageError, match="is not among the kernels"):
        bisect("tour", NAMES, "2.2.14", NAMES[0], Kernels(lambda _: "p").probe)
