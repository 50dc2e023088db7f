"""What becomes of a mutant, by what its scenario reported."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lab.errors import CompileError, UsageError
from lab.mutants import Judgement, Mutant, hunt, printed
from lab.mutants.hunt import Trials, judge, paths
from lab.mutants.trial import Seen, Trial
from lab.scenario.subject import Subject

SCENARIO = "boot::test_boot"
BOOT = "lab.errors.BootError: booting: no ready agent"


def mutant(name: str, scenario: str = SCENARIO) -> Mutant:
    return Mutant(id=name, defects=("1",), does="something", scenario=scenario)


def seen(*passed: str, ended: bool = True, failed: str = "", error: str = "") -> Seen:
    return Seen(ended, passed, {failed: "wrong"} if failed else {}, {error: "no QEMU"} if error else {})


@pytest.mark.parametrize(
    ("report", "result", "said"),
    [
        (seen(failed=SCENARIO), "killed", "wrong"),
        (seen(SCENARIO), "survived", "passed with the defect in place"),
        (seen(SCENARIO, failed="other::test_other"), "survived", "passed with the defect in place"),
        (seen(ended=False), "hung", "no report within 2 s"),
        (seen(failed=SCENARIO, ended=False), "killed", "wrong"),
        (seen(error=SCENARIO), "error", "no QEMU"),
        (Seen(True, (), {SCENARIO: BOOT}, {}), "error", BOOT),
    ],
)
def test_report_of_the_scenario_named_decides(report: Seen, result: str, said: str) -> None:
    assert judge(mutant("one"), report, 1.5) == (result, 1.5, said)


class Done(Trial):
    """A child that ended at once."""

    def __init__(self, report: Seen) -> None:
        self.report = report
        self.began = time.monotonic()
        self.exits = 0

    @property
    def over(self) -> bool:
        return True

    def seen(self) -> Seen:
        return self.report

    def __exit__(self, *_: object) -> None:
        self.exits += 1


class Answers(Trials):
    """Trials whose reports are known; an Exception is what its build ends with."""

    def __init__(self, reports: dict[str | None, Seen | CompileError]) -> None:
        self.reports = reports
        self.workers = 2
        self.deadline = 50.0
        self.asked: list[tuple[str | None, list[str]]] = []
        self.started: list[Done] = []

    def build(self, mutant: str | None) -> None:  # type: ignore[override]
        report = self.reports[mutant]
        if isinstance(report, CompileError):
            raise report

    def start(self, mutant: str | None, scenarios: Sequence[str], deadline: float) -> Trial:
        assert deadline == 50.0 * len(set(scenarios))
        self.asked.append((mutant, list(scenarios)))
        report = self.reports[mutant]
        assert isinstance(report, Seen)
        self.started.append(Done(report))
        return self.started[-1]


def test_every_mutant_gets_its_verdict_in_the_order_of_the_table() -> None:
    answers = Answers(
        {
            None: seen(SCENARIO),
            "caught": seen(failed=SCENARIO),
            "missed": seen(SCENARIO),
            "broken": CompileError("make failed"),
        }
    )
    told: list[Judgement] = []
    verdicts = hunt([mutant("caught"), mutant("broken"), mutant("missed")], answers, told.append)
    assert [(one.mutant, one.result) for one in verdicts] == [
        ("caught", "killed"),
        ("broken", "error"),
        ("missed", "survived"),
    ]
    assert {one.mutant for one in told} == {"caught", "broken", "missed"}
    assert [one.exits for one in answers.started] == [1, 1, 1]
    text = printed(verdicts)
    assert "1 of 3 killed" in text
    assert "  missed: survived; passed with the defect in place" in text
    assert "  caught: killed" not in text


def test_scenario_that_fails_without_any_defect_proves_nothing() -> None:
    sick = "kvmd_regions::test_kvmd_regions"
    answers = Answers({None: seen(SCENARIO, failed=sick), "one": seen(failed=SCENARIO), "two": seen(failed=sick)})
    verdicts = hunt([mutant("one"), mutant("two", sick)], answers, lambda _: None)
    assert [one.result for one in verdicts] == ["killed", "void"]
    assert [asked for asked, _ in answers.asked] == [None, "one"]


def test_scenario_that_does_not_exist_is_a_usage_error_before_anything_is_built() -> None:
    answers = Answers({})
    with pytest.raises(UsageError, match="no scenario 'nowhere'"):
        hunt([mutant("one", "nowhere::test_it")], answers, lambda _: None)


def test_no_mutant_at_all_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="no mutant can show"):
        hunt([], Answers({}), lambda _: None)


def test_path_of_a_scenario_names_its_test() -> None:
    (path,) = paths([SCENARIO, SCENARIO])
    assert path.endswith("lab/scenario/suite/test_boot.py::test_boot")


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The program that a Trial runs in place of Python."""
    path = tmp_path / "child"
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(path))
    return path


JUNIT = """<testsuites><testsuite>
<testcase classname="test_boot" name="test_boot[1-pool]"><failure message="assert 1 == 2&#10;where">at</failure>
</testcase>
<testcase classname="lab.suite.test_queue" name="test_queue[1]"/>
<testcase classname="test_orders" name="test_orders"><error message="no QEMU"/></testcase>
<testcase classname="test_swap" name="test_swap"><skipped message="not here"/></testcase>
</testsuite></testsuites>"""


def test_trial_tells_what_the_scenarios_reported(child: Path, tmp_path: Path) -> None:
    child.write_text(f"#!/bin/sh\nmkdir $KVMD_LAB_RUNS/run\ncat > $KVMD_LAB_RUNS/run/junit.xml <<'END'\n{JUNIT}\nEND\n")
    with Trial([], tmp_path / "new", {}, 30.0) as trial:
        trial.wait(30.0)
        assert trial.over
        found = trial.seen()
    assert found == Seen(
        ended=True,
        passed=("queue::test_queue",),
        failed={"boot::test_boot": "assert 1 == 2"},
        errors={"orders::test_orders": "no QEMU"},
    )


def test_trial_without_a_report_tells_the_last_words(child: Path, tmp_path: Path) -> None:
    child.write_text("#!/bin/sh\necho 'kvmd-lab: no tree'\necho '  try: another'\nexit 3\n")
    with Trial([], tmp_path / "new", {}, 30.0) as trial:
        trial.wait(30.0)
        assert trial.seen().errors == {"(the run)": "no tree"}


def test_trial_that_hangs_is_over_at_its_deadline_and_ends(child: Path, tmp_path: Path) -> None:
    child.write_text("#!/bin/sh\nexec tail -f /dev/null\n")
    with Trial([], tmp_path / "new", {}, 0.05) as trial:
        while not trial.over:
            trial.wait(0.01)
        assert not trial.seen().ended
    assert trial.child.returncode == -15


def test_scenario_is_started_on_the_tree_that_is_tried_under_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(sys.modules[Trials.__module__], "Trial", lambda words, *_: started.append(words))
    subject = Subject(tree=Path("/a/tree"), called="2.3.99-pre3-5", cc="gcc-11")
    trials = Trials(cast("Any", SimpleNamespace(subject=subject)), 2, tmp_path, workers=2, patience=None)
    trials.start("polling", [SCENARIO], 50.0)
    ((_, _, *words),) = started
    wanted = ["--cpus=2", "--seed=1", "--workers=1", "--json"]
    assert words == [*wanted, "--tree=/a/tree", "--as=2.3.99-pre3-5", "--cc=gcc-11", "--mutant=polling"]
