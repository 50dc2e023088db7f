"""In which release a scenario's outcome changes, found with few builds.

Each release that is looked at is tried several times, with a seed for each; a scenario that passes some of the time is
told from one that passes all of the time as surely as that number allows, and the result names the odds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import msgspec

from lab.errors import UsageError
from lab.matrix.store import CellResult

Behaviour = Literal["passes", "fails", "flaky", "unknown"]
Probe = Callable[[str], Sequence[CellResult]]
_HALF = 0.5


class Finding(msgspec.Struct, frozen=True):
    """What a release came to: how often it passed and failed, and why it failed the first time."""

    kernel: str
    results: tuple[CellResult, ...]

    @property
    def passed(self) -> int:
        """How often it passed."""
        return sum(result.outcome == "passed" for result in self.results)

    @property
    def failed(self) -> int:
        """How often it failed, or did not come to an end."""
        return sum(result.outcome in ("failed", "timeout") for result in self.results)

    @property
    def verdict(self) -> Behaviour:
        """Unknown: it could not be tried, not even once in all."""
        if self.passed + self.failed == 0 or len(self.results) > self.passed + self.failed:
            return "unknown"
        return "passes" if not self.failed else "fails" if not self.passed else "flaky"

    @property
    def reason(self) -> str:
        """Why it was not a pass, the first time that it was none; empty: it always was."""
        return next((one.reason or one.outcome for one in self.results if one.outcome != "passed"), "")

    def __str__(self) -> str:
        tried = self.passed + self.failed
        counts = f"passed {self.passed} of {tried}" if tried else "could not be tried"
        return f"{self.kernel}: {counts}{f' ({self.reason})' if self.reason else ''}"


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """Where a scenario turns: from `before`, the last with the old outcome, to `after`, the first with the new one.

    `between` could not be tried. `forwards`: it passed first, and fails later.
    """

    scenario: str
    before: Finding
    after: Finding
    between: tuple[Finding, ...]
    forwards: bool
    tried: tuple[Finding, ...]

    @property
    def bad(self) -> Finding:
        """The side on which it fails."""
        return self.after if self.forwards else self.before

    @property
    def odds(self) -> float:
        """How likely the good side looks as it does though it is as bad as the other; at most every other time."""
        good = self.before if self.forwards else self.after
        rate = self.bad.failed / len(self.bad.results)
        return (1 - min(rate, _HALF)) ** len(good.results)

    @property
    def sentence(self) -> str:
        """What was found."""
        fails = "fails at times" if self.bad.verdict == "flaky" else "fails"
        first, then = ("passes", fails) if self.forwards else (fails, "passes")
        return f"{self.scenario} {first} up to {self.before.kernel} and {then} from {self.after.kernel} on"

    @property
    def notes(self) -> list[str]:
        """With what reserve."""
        flaky = self.bad.verdict == "flaky"
        notes = [f"on {self.bad.kernel} {self.bad.failed} times of {len(self.bad.results)}"] if flaky else []
        if self.between:
            notes.append(f"{', '.join(one.kernel for one in self.between)} could not be tried")
        often = "as often" if flaky else "every other time"
        return [*notes, f"one that fails {often} would look like the good side with odds of {self.odds:.1%}"]

    def __str__(self) -> str:
        return f"{self.sentence} ({'; '.join(self.notes)})"


def bisect(scenario: str, kernels: Sequence[str], good: str, bad: str, probe: Probe) -> Turn:
    """Find the turn between `good` and `bad`, which are among `kernels` (in the order of their releases).

    `probe` tries a release and returns the results. UsageError: the two are not what they are said to be, or are one.
    """
    check(kernels, good, bad)
    forwards = kernels.index(good) < kernels.index(bad)
    first, last = sorted((kernels.index(good), kernels.index(bad)))
    found: dict[int, Finding] = {}

    def look(place: int) -> Finding:
        if place not in found:
            found[place] = Finding(kernels[place], tuple(probe(kernels[place])))
        return found[place]

    _check_ends(look(kernels.index(good)), look(kernels.index(bad)))
    while True:
        middle = _next(first, last, found)
        if middle is None:
            break
        finding = look(middle)
        if finding.verdict == "unknown":
            continue
        if (finding.verdict == "passes") == forwards:
            first = middle
        else:
            last = middle
    return Turn(
        scenario=scenario,
        before=found[first],
        after=found[last],
        between=tuple(found[place] for place in range(first + 1, last)),
        forwards=forwards,
        tried=tuple(found[place] for place in sorted(found)),
    )


def check(kernels: Sequence[str], good: str, bad: str) -> None:
    """Raise a UsageError unless both are among the kernels, and two."""
    if good == bad:
        raise UsageError(f"{good} can't be both good and bad")
    for name in (good, bad):
        if name not in kernels:
            raise UsageError(f"{name} is not among the kernels", hint=", ".join(kernels))


def _check_ends(good: Finding, bad: Finding) -> None:
    """Both must be what they are said to be."""
    if good.verdict != "passes":
        raise UsageError(f"{good.kernel} is said to be good", seen=[str(good)], hint="another --good")
    if bad.verdict in ("passes", "unknown"):
        raise UsageError(f"{bad.kernel} is said to be bad", seen=[str(bad)], hint="another --bad")


def _next(first: int, last: int, found: dict[int, Finding]) -> int | None:
    """Return the place nearest to the middle that nobody looked at; None: there is none in between."""
    places = [place for place in range(first + 1, last) if place not in found]
    return min(places, key=lambda place: (abs(2 * place - first - last), place), default=None)
