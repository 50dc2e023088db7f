"""What a view makes of a journal."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.errors import UsageError
from lab.report import journals
from lab.report.view import view
from tests.unit.report.runs import (
    FAULT_LINE,
    SEED,
    Event,
    bad_run,
    console,
    good_run,
    note,
    outcome,
    seen,
    stage,
    whole_test,
    write,
)


def test_empty_journal_is_a_run_without_an_end() -> None:
    run = view([])
    assert (run.verdict, run.scenarios, run.panels, run.works, run.seconds) == ("unfinished", (), (), [], 0.0)


def test_run_without_a_scenario_that_came_to_its_end_is_empty() -> None:
    assert seen([note(1.0, "0 passed, 0 failed, 0 errors")]).verdict == "empty"


def test_head_of_a_run_that_passed() -> None:
    run = seen(good_run())
    assert (run.verdict, run.kernel, run.seed, run.seconds) == ("passed", "2.3.99-pre3", str(SEED), 2.5)
    assert run.source == "2.3.99-pre3 from a folder, digest 123456789abc"
    assert run.machines == ["1 processor, 16 MiB of RAM, 96 MiB of swap"]
    assert run.counts == {"passed": 1, "failed": 0, "error": 0, "skipped": 0, "unfinished": 0}


@pytest.mark.parametrize(
    ("detail", "found", "kernel", "why"),
    [
        (
            "6.1 taken because nobody answers",
            "source: 6.1.192 from x, digest 1",
            "6.1.192",
            "Taken because nobody answers.",
        ),
        ("2.4.0", "source: 2.4.0 from x, digest 1", "2.4.0", "Asked for by its name."),
        ("/a/tree", "source: 2.4.0 from /a/tree, digest 1", "2.4.0", "Given as /a/tree."),
        ("6.1 taken because nobody answers", "", "6.1", "Taken because nobody answers."),
        ("", "built before: 2.4.0 in /a/folder", "2.4.0", "Built before."),
        ("", "", "", ""),
    ],
)
def test_kernel_is_named_and_why_it_was_taken(detail: str, found: str, kernel: str, why: str) -> None:
    run = seen([stage(0.1, "source", detail=detail), note(0.2, found)])
    assert (run.kernel, run.why) == (kernel, why)


@pytest.mark.parametrize(
    ("given", "repeats"),
    [
        ("kvmd-lab run tour", f"kvmd-lab run tour --seed {SEED}"),
        ("kvmd-lab run tour --seed=3", "kvmd-lab run tour --seed=3"),
        ("kvmd-lab run tour --seed 3", "kvmd-lab run tour --seed 3"),
        ("kvmd-lab run tour --seeds 3", f"kvmd-lab run tour --seeds 3 --seed {SEED}"),
    ],
)
def test_command_that_repeats_a_run_names_its_seed_once(given: str, repeats: str) -> None:
    run = seen([{"t": 0.0, "kind": "run", "repeat": given, "began": ""}, note(0.1, f"seed {SEED}")])
    assert run.repeat == repeats


def test_scenario_has_its_name_sentence_and_times() -> None:
    (one,) = seen(good_run()).scenarios
    assert (one.module, one.name) == ("regions", f"test_regions[{SEED}]")
    assert one.says == f"What test_regions.py::test_regions[{SEED}] shows."
    assert (one.verdict, round(one.begin, 6), one.end, one.seconds) == ("passed", 1.0, 2.0, 0.8)
    assert one.console == ()


def test_scenario_that_failed_has_fault_reason_and_last_lines() -> None:
    run = seen(bad_run())
    assert (run.verdict, [one.name for one in run.bad]) == ("failed", [f"test_dies[{SEED}]"])
    (one,) = run.bad
    assert one.reason == FAULT_LINE
    assert one.console == (*(f"line {n}" for n in range(16, 30)), FAULT_LINE)
    (fault,) = one.faults
    assert (fault.kind, fault.eip, fault.trace) == ("oops", "kvmd_map+0x10", ("kvmd_ioctl+0x20", "sys_ioctl+0x30"))
    assert [check.where for check in one.checks] == ["test_x.py:3"]


def test_fault_of_an_old_journal_is_found_on_the_console() -> None:
    events = [*whole_test(1.0, "dies", result="failed"), console(1.5, FAULT_LINE), console(1.6, "something else")]
    (one,) = seen(events).scenarios
    assert [(fault.kind, fault.text) for fault in one.faults] == [("oops", FAULT_LINE)]


@pytest.mark.parametrize(
    ("phase", "more", "verdict"),
    [
        ("call", {}, "failed"),
        ("setup", {}, "error"),
        ("setup", {"verdict": "failed"}, "failed"),
        ("call", {"verdict": "error"}, "error"),
    ],
)
def test_failure_is_the_kernels_or_not_as_pytest_says_and_else_by_its_phase(
    phase: str, more: Event, verdict: str
) -> None:
    assert seen([outcome(1.0, "test_a.py::test_a", phase, "failed", **more)]).verdict == verdict


def test_failure_in_teardown_counts_although_the_call_passed() -> None:
    events = whole_test(1.0, "leaks")
    events[-1] |= {"outcome": "failed", "verdict": "failed", "why": "a leak"}
    (one,) = seen(events).scenarios
    assert (one.verdict, one.why) == ("failed", "a leak")


def test_scenario_that_was_interrupted_is_unfinished() -> None:
    run = seen([outcome(1.0, "test_a.py::test_a", "setup"), console(1.1, "a line")])
    assert (run.verdict, run.scenarios[0].verdict) == ("unfinished", "unfinished")


def test_skipped_scenario_tells_why() -> None:
    run = seen([outcome(1.0, "test_a.py::test_a", "setup", "skipped", verdict="skipped", why="not on 2.3")])
    assert (run.verdict, run.scenarios[0].why) == ("skipped", "not on 2.3")


def test_run_that_did_not_say_its_counts_is_unfinished() -> None:
    assert seen(good_run()[:-1]).verdict == "unfinished"


def test_stages_of_one_name_are_added_up() -> None:
    events = [stage(1.0, "restore", 0.2), stage(2.0, "restore", 0.4), stage(3.0, "boot", 0.5, "fail", "no agent")]
    restore, boot = seen(events).works
    assert (restore.name, restore.times, round(restore.seconds, 6), restore.longest) == ("restore", 2, 0.6, 0.4)
    assert boot.troubles == ("failed: no agent",)


def test_stage_without_an_end_lasts_to_the_end_of_the_journal() -> None:
    (one,) = seen([stage(1.0, "build", phase="begin"), note(5.0, "something")]).stages
    assert (one.outcome, one.begin, one.seconds) == ("unfinished", 1.0, 4.0)


def test_scenarios_of_several_processes_get_what_their_own_guests_said() -> None:
    events = [
        *whole_test(1.0, "one", worker="gw0", result="failed"),
        *whole_test(1.0, "other", worker="gw1", result="failed"),
        console(1.5, "of the first", worker="gw0"),
        console(1.5, "of the second", worker="gw1"),
    ]
    run = seen(events)
    assert run.workers == ("gw0", "gw1")
    assert [(one.worker, one.console) for one in run.scenarios] == [
        ("gw0", ("of the first",)),
        ("gw1", ("of the second",)),
    ]


def test_torn_last_line_is_left_out(tmp_path: Path) -> None:
    run = write(tmp_path / "run", good_run())
    with (run / "journal.jsonl").open("ab") as file:
        file.write(b'{"t": 9, "kind": "cons')
    assert journals.load(run) == sorted(good_run(), key=lambda event: float(event["t"]))


def test_journals_of_processes_that_still_run_count_already(tmp_path: Path) -> None:
    run = write(tmp_path / "run", [note(0.5, "of the run")])
    write(run / "gw1", [note(0.2, "of a process")])
    assert [(event["text"], event.get("worker")) for event in journals.load(run)] == [
        ("of a process", "gw1"),
        ("of the run", None),
    ]


def test_old_journal_gets_its_command_from_the_result(tmp_path: Path) -> None:
    run = write(tmp_path / "run", [note(0.5, "seed 3")])
    (run / "result.json").write_text('{"repeat": "kvmd-lab run boot"}')
    assert view(journals.load(run)).repeat == "kvmd-lab run boot --seed 3"


def test_newest_run_is_taken_where_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no run"):
        journals.latest(tmp_path)
    write(tmp_path / "b", [])
    write(tmp_path / "a", [])
    (tmp_path / "a" / "journal.jsonl").touch()
    assert journals.latest(tmp_path) == tmp_path / "a"


def test_run_whose_scenarios_do_not_say_why_has_its_last_words() -> None:
    old = [*whole_test(1.0, "a", result="failed"), note(3.0, "no disk\n  try: another\n\n0 passed, 1 failed, 0 errors")]
    assert seen(old).last_words == "no disk\n  try: another"
    assert seen(bad_run()).last_words == ""
    assert seen(good_run()).last_words == ""
