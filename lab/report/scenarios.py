"""A journal's outcomes, turned into scenarios: how each ended, when, why, and what the console said meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from lab.machine import oops
from lab.report.journals import Event

Verdict = Literal["passed", "failed", "error", "skipped", "unfinished"]
LAST_LINES = 15
_WEIGHT: dict[str, int] = {"passed": 0, "skipped": 1, "error": 2, "failed": 3}


class Fault(msgspec.Struct, frozen=True):
    """What the console told of a dying kernel; `eip` and `trace` are empty where they could not be decoded."""

    t: float
    kind: str
    text: str
    eip: str = ""
    process: str = ""
    trace: tuple[str, ...] = ()


class Assertion(msgspec.Struct, frozen=True):
    """Something that was asserted."""

    t: float
    what: str
    passed: bool
    where: str = ""


class Scenario(msgspec.Struct, frozen=True):
    """One test. Times are seconds since the journal began; `phases` holds the seconds of setup, call and teardown.

    `module` is the scenario's name as `kvmd-lab run` takes it, `name` the test's own. `console` holds the last lines,
    of what did not pass.
    """

    module: str
    name: str
    says: str
    verdict: Verdict
    begin: float
    end: float
    phases: dict[str, float]
    why: str = ""
    trace: str = ""
    machine: str = ""
    worker: str = ""
    checks: tuple[Assertion, ...] = ()
    faults: tuple[Fault, ...] = ()
    console: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """How long it took, without its setup and its teardown; if it did not come so far, how long those took."""
        return self.phases.get("call", sum(self.phases.values()))

    @property
    def reason(self) -> str:
        """The first line of why it did not pass."""
        return self.why.strip().partition("\n")[0]

    @property
    def shown_checks(self) -> list[Assertion]:
        """The asserts, each line of the test's text once: a loop may repeat it a thousand times."""
        return list({(one.where or one.t, one.what, one.passed): one for one in self.checks}.values())


def scenarios(events: Sequence[Event]) -> list[Scenario]:
    """Return the scenarios in the order of their beginnings."""
    of_one: dict[tuple[str, str], list[Event]] = {}
    for event in events:
        if event["kind"] == "outcome":
            of_one.setdefault((str(event.get("worker", "")), event["test"]), []).append(event)
    by_worker: dict[str, list[Event]] = {}
    for event in events:
        if event["kind"] in ("console", "fault", "check", "machine"):
            by_worker.setdefault(str(event.get("worker", "")), []).append(event)
    found = [_scenario(phases, by_worker.get(worker, ())) for (worker, _), phases in of_one.items()]
    return sorted(found, key=lambda scenario: scenario.begin)


def _scenario(phases: Sequence[Event], others: Sequence[Event]) -> Scenario:
    first, last = phases[0], phases[-1]
    begin, end = max(0.0, first["t"] - first["seconds"]), float(last["t"])
    verdicts = [_verdict(event) for event in phases]
    verdict = max(verdicts, key=_WEIGHT.__getitem__)
    worst = phases[verdicts.index(verdict)]
    module, name = split(first["test"])
    meanwhile = [event for event in others if begin <= event["t"] <= end]
    lines = [str(event["line"]) for event in meanwhile if event["kind"] == "console"]
    finished = verdict != "passed" or any(event["phase"] != "setup" for event in phases)
    return Scenario(
        module=module,
        name=name,
        says=first.get("says", ""),
        verdict=verdict if finished else "unfinished",
        begin=begin,
        end=end,
        phases={event["phase"]: float(event["seconds"]) for event in phases},
        why=worst.get("why", ""),
        trace=worst.get("trace", ""),
        machine=_machine(meanwhile),
        worker=str(first.get("worker", "")),
        checks=tuple(_checks(meanwhile)),
        faults=tuple(faults(meanwhile)),
        console=() if verdict in ("passed", "skipped") and finished else tuple(lines[-LAST_LINES:]),
    )


def _verdict(event: Event) -> Verdict:
    """Old journals do not say whether a failure is the kernel's; mostly the phase tells."""
    if event["outcome"] != "failed":
        return "skipped" if event["outcome"] == "skipped" else "passed"
    told = event.get("verdict") or ("failed" if event["phase"] == "call" else "error")
    return "failed" if told == "failed" else "error"


def split(test: str) -> tuple[str, str]:
    """Turn pytest's name of a test into the scenario's name and the test's own."""
    path, _, name = test.partition("::")
    return path.rpartition("/")[2].removesuffix(".py").removeprefix("test_"), name or path


def faults(events: Sequence[Event]) -> list[Fault]:
    """Return the faults: decoded ones, else the console's lines that mean one (of an old journal)."""
    decoded = [event for event in events if event["kind"] == "fault"]
    if decoded:
        return [
            Fault(event["t"], event["what"], event["text"], event["eip"], event["process"], tuple(event["trace"]))
            for event in decoded
        ]
    lines = [(event["t"], str(event["line"])) for event in events if event["kind"] == "console"]
    return [Fault(t, found.kind, line.strip()) for t, line in lines if (found := oops.death(line))]


def _checks(events: Sequence[Event]) -> list[Assertion]:
    return [
        Assertion(event["t"], event["what"], bool(event["passed"]), event.get("line", ""))
        for event in events
        if event["kind"] == "check"
    ]


def _machine(events: Sequence[Event]) -> str:
    for event in events:
        if event["kind"] == "machine":
            processors = f"{event['cpus']} processor{'s' if event['cpus'] > 1 else ''}"
            return f"{processors}, {event['ram_mib']} MiB of RAM, {event['swap_mib']} MiB of swap"
    return ""
