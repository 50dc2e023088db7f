"""Several processes for one run: how many, what they are told, and what becomes of their journals."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from lab import affinity
from lab.errors import HostError
from lab.journal import Journal, read
from lab.report import journals
from lab.scenario import parallel
from lab.scenario.subject import Subject

pytest_plugins = ["pytester"]


@pytest.fixture
def cores(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr("os.sched_getaffinity", lambda _pid: {0, 1, 2})
    return 3


def test_one_scenario_is_run_by_pytest_itself(cores: int, tmp_path: Path) -> None:
    own = tmp_path / "test_own.py"
    own.touch()
    assert parallel.choose(None, [str(own)]) == 1 < cores
    assert parallel.options(1) == []


def test_several_scenarios_get_a_process_for_each_core(cores: int, tmp_path: Path) -> None:
    assert parallel.choose(None, [str(tmp_path)]) == cores
    assert parallel.choose(None, ["one.py", "other.py"]) == cores


def test_number_that_was_asked_for_is_taken(cores: int, tmp_path: Path) -> None:
    assert parallel.choose(cores + 4, [str(tmp_path)]) == cores + 4


@pytest.mark.parametrize(("number", "core"), [(0, 3), (1, 5), (2, 3)])
def test_each_process_keeps_to_one_of_the_cores_in_turn(
    number: int, core: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pinned: list[set[int]] = []
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {5, 3})
    monkeypatch.setattr(os, "sched_setaffinity", lambda _, cores: pinned.append(cores))
    affinity.pin(number)
    assert pinned == [{core}]


def test_task_arrives_as_it_was_sent() -> None:
    subject = Subject(name="6.1", tree=Path("/somewhere"), patches=(Path("one.diff"),), mutant="lost-write")
    task = parallel.WorkerTask(Path("/runs/1"), subject, 12.5)
    assert parallel.unpack(parallel.pack(task)) == task


def test_journals_are_put_together_in_the_order_of_their_times(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.jsonl") as journal:
        others = [Journal(tmp_path / name / "journal.jsonl", start=journal.start) for name in ("gw0", "gw1")]
        for number in range(4):
            others[number % 2].record("note", text=str(number))
        for other in others:
            other.close()
        parallel.gather(tmp_path, journal)
    found = [(event["worker"], event["text"]) for event in read(tmp_path / "journal.jsonl")]
    assert found == [("gw0", "0"), ("gw1", "1"), ("gw0", "2"), ("gw1", "3")]
    assert list(tmp_path.glob("gw*/journal.jsonl")) == []


def test_what_was_not_put_into_the_runs_journal_is_not_lost(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.jsonl") as journal:
        with Journal(tmp_path / "gw0" / "journal.jsonl", start=journal.start) as other:
            for number in range(4):
                other.record("note", text=str(number))

        def fill_the_disk(event: dict[str, Any]) -> None:
            if event["text"] == "1":
                raise HostError("the disk is full")

        journal.listen(fill_the_disk)
        with pytest.raises(HostError):
            parallel.gather(tmp_path, journal)
    assert [event["text"] for event in read(tmp_path / "journal.jsonl")] == ["0", "1"]
    assert [event["text"] for event in journals.load(tmp_path)] == ["0", "1", "2", "3"]


def test_processes_share_the_seed_and_an_error_in_one_gives_the_exit_code(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_it="""
        from lab.errors import GuestFault
        def test_bad(seed): raise GuestFault("an oops")
        def test_wrong(): assert 1 + 1 == 3, "counted wrongly"
        def test_good(): pass
    """
    )
    program = """
import sys
from pathlib import Path
from lab.journal import Journal, read
from lab.scenario import runner
from lab.scenario.subject import Subject

pytest_plugins = ["pytester"]
run = Path("run")
with Journal(run / "journal.jsonl") as journal:
    outcome = runner.run(Subject(), ["test_it.py"], journal, run, options=["-p", "no:terminal"], workers=2)
print(outcome.exit_code, outcome.passed, outcome.failed, outcome.error)
for broken in sorted(outcome.broken, key=lambda one: one.why):
    print(broken.verdict, broken.test.partition("[")[0], broken.why)
"""
    done = pytester.run(sys.executable, "-c", program)
    done.stdout.fnmatch_lines(["10 1 2 an oops", "failed *::test_wrong *counted wrongly", "failed *::test_bad an oops"])
