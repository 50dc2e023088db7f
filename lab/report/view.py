"""A journal, turned into what a person wants to know of a run: the verdict, the stages, the scenarios.

`view` is the whole of it; the terminal, JSON and HTML show the same values.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import Literal

import msgspec

from lab.report.journals import Event
from lab.report.scenarios import Scenario, Verdict, scenarios
from lab.report.timeline import Panel, panels

VERDICTS: tuple[Verdict, ...] = ("passed", "failed", "error", "skipped", "unfinished")


class Stage(msgspec.Struct, frozen=True):
    """A stage, from `begin` on for `seconds`; one that never ended lasts to the journal's end."""

    name: str
    begin: float
    seconds: float
    outcome: Literal["done", "failed", "unfinished"]
    detail: str = ""
    worker: str = ""


class Work(msgspec.Struct, frozen=True):
    """All stages of one name: how often, how long in all, the longest, and what went wrong or was not finished."""

    name: str
    times: int
    seconds: float
    longest: float
    troubles: tuple[str, ...]
    details: tuple[str, ...]


class Run(msgspec.Struct, frozen=True):
    """A run. Times are seconds since its journal began; `began` is the host's clock (ISO 8601, UTC), if it is known.

    `kernel` is a name, and `why` a sentence that says how it came to be this one; both are empty if it is not known.
    `verdict` is "empty" when nothing ran, and "unfinished" when the run did not come to its end.
    """

    name: str
    verdict: str
    counts: dict[str, int]
    kernel: str
    why: str
    source: str
    seed: str
    began: str
    seconds: float
    repeat: str
    workers: tuple[str, ...]
    stages: tuple[Stage, ...]
    scenarios: tuple[Scenario, ...]
    panels: tuple[Panel, ...]
    notes: tuple[str, ...]

    @property
    def works(self) -> list[Work]:
        """The stages, those of one name together, in the order of their first beginning."""
        named: dict[str, list[Stage]] = {}
        for stage in self.stages:
            named.setdefault(stage.name, []).append(stage)
        return [_work(name, stages) for name, stages in named.items()]

    @property
    def sampled(self) -> bool:
        """Whether there are samples from within a scenario, and not only from its beginning and its end."""
        return any(len(segment.samples) > 2 for panel in self.panels for segment in panel.segments)

    @property
    def machines(self) -> list[str]:
        """The machines that the scenarios had."""
        return list(dict.fromkeys(one.machine for one in self.scenarios if one.machine))

    @property
    def sampling(self) -> str:
        """The command that repeats it with samples; empty if it is not known, or was given by other means."""
        return f"{self.repeat} --samples" if self.repeat.startswith("kvmd-lab run") else ""

    @property
    def last_words(self) -> str:
        """The first error's text as the run told it at its end, unless a scenario tells its reason."""
        return "" if len(self.notes) < 2 or any(one.why for one in self.bad) else "\n\n".join(self.notes[:-1])

    @property
    def bad(self) -> list[Scenario]:
        """The scenarios that did not come to a good end."""
        return [scenario for scenario in self.scenarios if scenario.verdict in ("failed", "error", "unfinished")]


def view(events: Sequence[Event], name: str = "") -> Run:
    """Turn the events of a run into its view; `name` is what the run's folder is called."""
    end = max((float(event["t"]) for event in events), default=0.0)
    found = scenarios(events)
    start = next((event for event in events if event["kind"] == "run"), {})
    seed = _seed(events)
    kernel, why = _kernel(events)
    counts = {str(verdict): sum(one.verdict == verdict for one in found) for verdict in VERDICTS}
    return Run(
        name=name,
        verdict=_verdict(counts, _ended(events)),
        counts=counts,
        kernel=kernel,
        why=why,
        source=_noted(events, "source: "),
        seed=seed,
        began=str(start.get("began", "")),
        seconds=end,
        repeat=_with_seed(str(start.get("repeat", "")), seed),
        workers=tuple(sorted({str(event.get("worker", "")) for event in events} - {""})),
        stages=tuple(stages(events)),
        scenarios=tuple(found),
        panels=tuple(panels(events, found)),
        notes=_summary(events),
    )


def stages(events: Sequence[Event]) -> list[Stage]:
    """Return the stages in the order of their beginnings."""
    end = max((float(event["t"]) for event in events), default=0.0)
    found: list[Stage] = []
    under_way: dict[tuple[str, str], Event] = {}
    for event in events:
        if event["kind"] != "stage":
            continue
        worker = str(event.get("worker", ""))
        key = (worker, event["name"])
        if event["phase"] == "begin":
            under_way[key] = event
            continue
        under_way.pop(key, None)  # what came out of the cache has an end only
        outcome: Literal["done", "failed"] = "done" if event["phase"] == "end" else "failed"
        begin = max(0.0, event["t"] - event["seconds"])
        found.append(Stage(event["name"], begin, event["seconds"], outcome, event["detail"], worker))
    for (worker, name), event in under_way.items():
        found.append(Stage(name, event["t"], end - event["t"], "unfinished", event["detail"], worker))
    return sorted(found, key=lambda stage: stage.begin)


def _work(name: str, found: Sequence[Stage]) -> Work:
    troubles = [f"{stage.outcome}: {stage.detail}" for stage in found if stage.outcome != "done"]
    details = dict.fromkeys(stage.detail for stage in found if stage.detail and stage.outcome == "done")
    lasted = [stage.seconds for stage in found]
    return Work(name, len(found), sum(lasted), max(lasted), tuple(troubles), tuple(details))


def _verdict(counts: dict[str, int], ended: bool) -> str:
    for verdict in ("failed", "error", "unfinished"):
        if counts[verdict]:
            return verdict
    if not ended:
        return "unfinished"
    return "passed" if counts["passed"] else "skipped" if counts["skipped"] else "empty"


def _ended(events: Sequence[Event]) -> bool:
    """A run that came to its end says how many passed; one of plain pytest has at least no stage under way."""
    if any(event["kind"] == "run" for event in events):
        return bool(_summary(events))
    return bool(events) and all(stage.outcome != "unfinished" for stage in stages(events))


def _summary(events: Sequence[Event]) -> tuple[str, ...]:
    """What the run said at its end: the first error's text, and the counts."""
    counted = re.compile(r"^\d+ passed, \d+ failed, \d+ errors$", re.MULTILINE)
    texts = [event["text"] for event in events if event["kind"] == "note" and counted.search(event["text"])]
    return tuple(part for part in texts[-1].split("\n\n") if part) if texts else ()


def _kernel(events: Sequence[Event]) -> tuple[str, str]:
    """Return the kernel's name as its own Makefile has it, else as it was asked for, and why it was taken."""
    built = _noted(events, "built before: ")
    if built:
        return built.partition(" ")[0], "Built before."
    found = _noted(events, "source: ").partition(" ")[0]
    asked = next((e["detail"] for e in events if e["kind"] == "stage" and e["name"] == "source" and e["detail"]), "")
    name, _, reason = asked.partition(" taken because ")
    if reason:
        return found or name, f"Taken because {reason}."
    if "/" in asked:
        return found, f"Given as {asked}."
    return found or name, "Asked for by its name." if name else ""


def _noted(events: Sequence[Event], begin: str) -> str:
    texts = (event["text"] for event in events if event["kind"] == "note")
    return next((text.removeprefix(begin) for text in texts if text.startswith(begin)), "")


def _seed(events: Sequence[Event]) -> str:
    return _noted(events, "seed ")


def _with_seed(command: str, seed: str) -> str:
    """Without its seed a command would draw another one."""
    if not command or not seed or re.search(r"--seed[ =]", command):
        return command
    return f"{command} --seed {shlex.quote(seed)}"
