"""A journal, turned into series over one time axis: memory, swap traffic, calls, console lines; a panel a process.

Times are seconds of the host since the journal began. A panel lasts from `begin`, when its machine first did something,
to `end`: what comes before that (a kernel may take minutes to build) is no part of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from lab.machine.kvmdctl import command_name
from lab.machine.protocol import errno_name
from lab.report.journals import Event
from lab.report.scenarios import Scenario

LONG = 0.02  # seconds: a call that lasts so long is shown by itself,
MOST = 200  # if it is among the longest so many of its panel
MACHINE = ("boot", "restore", "leaks")  # stages of a machine's life; all others prepare one
_KVMD = ("KVMD_IOCTL", "KVMD_IOCTL_AT", "KVMD_ROUNDS")


class Sample(msgspec.Struct, frozen=True):
    """What a machine held at `t`: KiB, bytes since its restore, and seconds of the guest's clock, if it was asked."""

    t: float
    free_kib: int
    total_kib: int
    swap_used_kib: int
    swap_kib: int
    swap_read: int
    swap_written: int
    guest: float | None = None


class Segment(msgspec.Struct, frozen=True):
    """Samples of one machine between two restores, in `scenario` (its number in the run; None: outside of any)."""

    scenario: int | None
    samples: tuple[Sample, ...]


class Call(msgspec.Struct, frozen=True):
    """A request to the guest that took long. `refused` is the errno's name, or a word: "timeout"."""

    t: float
    seconds: float
    name: str
    refused: str = ""


class Tally(msgspec.Struct, frozen=True):
    """All kvmd calls of one name."""

    name: str
    calls: int
    refused: int
    seconds: float
    longest: float


class Panel(msgspec.Struct, frozen=True):
    """One process of the run. `kvmd`, `refused` (those of them) and `console` are times of calls and of lines."""

    worker: str
    segments: tuple[Segment, ...]
    kvmd: tuple[float, ...]
    refused: tuple[float, ...]
    console: tuple[float, ...]
    long_calls: tuple[Call, ...]
    tallies: tuple[Tally, ...]
    begin: float = 0.0
    end: float = 0.0


def panels(events: Sequence[Event], found: Sequence[Scenario]) -> list[Panel]:
    """Return a panel for each process that did something with a guest, in the order of their names."""
    of_worker: dict[str, list[Event]] = {}
    for event in events:
        if event["kind"] in ("agent", "sample", "console") or _is_machines(event):
            of_worker.setdefault(str(event.get("worker", "")), []).append(event)
    return [_panel(worker, of_worker[worker], found) for worker in sorted(of_worker)]


def _panel(worker: str, events: Sequence[Event], found: Sequence[Scenario]) -> Panel:
    agent = [event for event in events if event["kind"] == "agent"]
    kvmd = [event for event in agent if event["op"] in _KVMD]
    calls = [_call(event) for event in agent if event["seconds"] >= LONG]
    ends = [one.end for one in found if one.worker == worker]
    longest = sorted(calls, key=lambda call: -call.seconds)[:MOST]
    return Panel(
        worker=worker,
        segments=tuple(segments(events, worker, found)),
        kvmd=tuple(event["t"] for event in kvmd),
        refused=tuple(event["t"] for event in kvmd if _refused(event["status"])),
        console=tuple(event["t"] for event in events if event["kind"] == "console"),
        long_calls=tuple(sorted(longest, key=lambda call: call.t)),
        tallies=tuple(tally(kvmd)),
        begin=min(_begin(event) for event in events),
        end=max(*(float(event["t"]) for event in events), *ends, 0.0),
    )


def _is_machines(event: Event) -> bool:
    return bool(event["kind"] == "stage" and event["name"] in MACHINE)


def _begin(event: Event) -> float:
    return max(0.0, float(event["t"]) - float(event.get("seconds", 0.0)))


def segments(events: Sequence[Event], worker: str, found: Sequence[Scenario]) -> list[Segment]:
    """Cut a process's samples where a scenario begins, and where a counter falls back: the machine was restored."""
    mine = [(number, one) for number, one in enumerate(found) if one.worker == worker]
    made: list[tuple[int | None, list[Sample]]] = []
    for event in events:
        if event["kind"] != "sample":
            continue
        sample = _sample(event)
        inside = next((number for number, one in mine if one.begin <= sample.t <= one.end), None)
        last = made[-1][1][-1] if made else None
        if last is None or made[-1][0] != inside or _restored(last, sample):
            made.append((inside, []))
        made[-1][1].append(sample)
    return [Segment(inside, tuple(samples)) for inside, samples in made]


def tally(calls: Sequence[Event]) -> list[Tally]:
    """Count calls by their names; those that took the most time in all come first."""
    named: dict[str, list[Event]] = {}
    for event in calls:
        named.setdefault(_name(event), []).append(event)
    found = []
    for name, group in named.items():
        lasted = [float(event["seconds"]) for event in group]
        refused = sum(bool(_refused(event["status"])) for event in group)
        found.append(Tally(name, len(group), refused, sum(lasted), max(lasted)))
    return sorted(found, key=lambda one: -one.seconds)


def _sample(event: Event) -> Sample:
    names = ("free_kib", "total_kib", "swap_used_kib", "swap_kib", "swap_read", "swap_written")
    figures = {name: int(event.get(name, 0)) for name in names}
    return Sample(t=float(event["t"]), guest=event.get("guest"), **figures)


def _restored(last: Sample, sample: Sample) -> bool:
    back = sample.guest is not None and last.guest is not None and sample.guest < last.guest
    return back or sample.swap_read < last.swap_read or sample.swap_written < last.swap_written


def _call(event: Event) -> Call:
    begin = max(0.0, event["t"] - event["seconds"])
    return Call(begin, float(event["seconds"]), _name(event), _refused(event["status"]))


def _refused(status: int | str) -> str:
    """Name the errno of a status, or the error that ended the wait; nothing of a call that went well."""
    if isinstance(status, str):
        return status
    return errno_name(status) if status < 0 else ""


def _name(event: Event) -> str:
    """Name a request as people do: kvmd's calls by theirs, the others by the agent's."""
    if "command" in event:
        return f"kvmd {command_name(event['command'])}"
    return str(event["op"]).lower().replace("kvmd_", "kvmd ")
