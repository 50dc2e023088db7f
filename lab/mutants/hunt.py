"""Put each defect back, run the scenario that must fail on it, and say which were noticed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

import msgspec

from lab import build
from lab.errors import CompileError, UsageError
from lab.mutants.table import Mutant
from lab.mutants.trial import NO_REPORT, Seen, Trial
from lab.scenario import runner
from lab.scenario.workbench import Workbench

PATIENCE = 10  # seconds that a scenario waits for an answer of the guest
DEADLINE = 50.0  # seconds that a scenario has in all
TODAY = 5  # times as long on a kernel of today, that watches all it does
SEED = 1
_LOOK = 0.05

_NO_BOOT = "lab.errors.BootError"
Result = Literal["killed", "survived", "hung", "error", "void"]


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a mutant.

    killed: its scenario failed, as it must. survived: its scenario passed. hung: cut by our deadline, so that the
    scenario reported nothing. error: not the scenario failed, but the host or the lab, or no agent came up. void: the
    scenario fails without any defect, so its failure says nothing. `said` is the scenario's first line about it.
    """

    mutant: str
    defects: tuple[str, ...]
    scenario: str
    result: Result
    seconds: float
    said: str

    @property
    def good(self) -> bool:
        """Whether the scenario does what it is for."""
        return self.result == "killed"


class Trials:
    """How a mutant is tried: builds by a workbench, scenarios by children of the command line."""

    def __init__(
        self, bench: Workbench, cpus: int, folder: Path, *, workers: int, patience: int | None, today: bool = False
    ) -> None:
        """`folder` gets a folder for each mutant; `today`: the kernel is one of today."""
        slower = TODAY if today else 1
        self.deadline = DEADLINE * slower
        self.patience = patience or PATIENCE * slower
        self.bench = bench
        self.cpus = cpus
        self.folder = folder
        self.workers = workers

    def build(self, mutant: str | None) -> build.Kernel:
        """Build a mutant, or with None the ordinary kernel, so that the child finds it in the cache."""
        plan = self.bench.plan("smp" if self.cpus > 1 else "up")
        return build.build(msgspec.structs.replace(plan, mutant=mutant), self.bench.settings, self.bench.journal)

    def start(self, mutant: str | None, scenarios: Sequence[str], deadline: float) -> Trial:
        """Start a child that runs scenarios on a mutant."""
        subject = self.bench.subject
        given = {"--kernel": subject.name, "--tree": subject.tree, "--as": subject.called}
        given |= {"--cc": subject.cc, "--mutant": mutant}
        options = [f"{option}={value}" for option, value in given.items() if value is not None]
        workers = self.workers if mutant is None else 1
        words = ["run", *paths(scenarios), f"--cpus={self.cpus}", f"--seed={SEED}", f"--workers={workers}", "--json"]
        environment = {"KVMD_LAB_PATIENCE": str(self.patience)}
        return Trial([*words, *options], self.folder / (mutant or "none"), environment, deadline)


def paths(scenarios: Sequence[str]) -> list[str]:
    """Turn "scenario::test" into what pytest takes; UsageError if the suite has no such scenario."""
    found = []
    for name in dict.fromkeys(scenarios):
        scenario, _, test = name.partition("::")
        (path,) = runner.paths([scenario])
        found.append(f"{path}::{test}" if test else path)
    return found


def hunt(mutants: Sequence[Mutant], trials: Trials, tell: Callable[[Judgement], None]) -> list[Judgement]:
    """Try each mutant and return the verdicts in the mutants' order; `tell` gets each as soon as it is there.

    One is built while others run. UsageError: a scenario that does not exist, and no report on the ordinary kernel.
    SubjectError: the ordinary kernel does not build.
    """
    paths([mutant.scenario for mutant in mutants])
    sick = _sick(mutants, trials)
    verdicts: dict[str, Judgement] = {}

    def note(mutant: Mutant, result: Result, seconds: float, said: str) -> None:
        verdict = Judgement(
            mutant=mutant.id,
            defects=mutant.defects,
            scenario=mutant.scenario,
            result=result,
            seconds=round(seconds, 1),
            said=said,
        )
        verdicts[mutant.id] = verdict
        tell(verdict)

    with ExitStack() as stack:
        running: list[tuple[Mutant, Trial, ExitStack]] = []

        def collect(room_for: int) -> None:
            while len(running) > room_for:
                done = [one for one in running if one[1].over]
                for one in done:
                    running.remove(one)
                    mutant, trial, ending = one
                    with ending:
                        seconds, seen = trial.seconds, trial.seen()
                    note(mutant, *judge(mutant, seen, seconds))
                if not done:
                    running[0][1].wait(_LOOK)

        for mutant in mutants:
            if mutant.scenario in sick:
                note(mutant, "void", 0.0, f"without any defect: {sick[mutant.scenario]}")
                continue
            try:
                trials.build(mutant.id)
            except CompileError as error:
                note(mutant, "error", 0.0, error.what)
                continue
            collect(trials.workers - 1)
            ending = stack.enter_context(ExitStack())  # which ends it once: with its report, or with all others
            trial = ending.enter_context(trials.start(mutant.id, [mutant.scenario], trials.deadline))
            running.append((mutant, trial, ending))
        collect(0)
    return [verdicts[mutant.id] for mutant in mutants]


def _sick(mutants: Sequence[Mutant], trials: Trials) -> dict[str, str]:
    """Return the scenarios that do not pass on the ordinary kernel, with what they say."""
    wanted = [mutant.scenario for mutant in mutants]
    if not wanted:
        raise UsageError("no mutant can show on this kernel", doing="looking for mutants")
    trials.build(None)
    with trials.start(None, wanted, trials.deadline * len(set(wanted))) as trial:
        while not trial.over:
            trial.wait(_LOOK)
        seen = trial.seen()
    if not seen.ended or NO_REPORT in seen.errors:
        raise UsageError(
            seen.errors.get(NO_REPORT, "no end in time"),
            doing="running the scenarios without any defect",
            log=trial.folder / "words.log",
            hint="kvmd-lab run must pass first",
        )
    broken = {**seen.failed, **seen.errors}
    return {name: broken.get(name, "it was left out") for name in wanted if name in broken or name not in seen.passed}


def judge(mutant: Mutant, seen: Seen, seconds: float) -> tuple[Result, float, str]:
    """Say what a trial's report means for its mutant."""
    if mutant.scenario in seen.failed:
        said = seen.failed[mutant.scenario]
        return "error" if _NO_BOOT in said else "killed", seconds, said
    if not seen.ended:
        return "hung", seconds, f"no report within {seconds:.0f} s"
    if seen.errors:
        return "error", seconds, next(iter(seen.errors.values()))
    return "survived", seconds, "passed with the defect in place"


def printed(verdicts: Sequence[Judgement]) -> str:
    """Return the table for people."""
    head = ("mutant", "defect", "scenario that must fail", "result", "s")
    rows = [(v.mutant, ",".join(v.defects), v.scenario, v.result, f"{v.seconds:.1f}") for v in verdicts]
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (head, *rows)]
    holes = [verdict for verdict in verdicts if not verdict.good]
    told = [f"  {verdict.mutant}: {verdict.result}; {verdict.said}" for verdict in holes]
    total = f"{len(verdicts) - len(holes)} of {len(verdicts)} killed by the scenario that they name"
    return "\n".join([line.rstrip() for line in lines] + ["", total, *told])
