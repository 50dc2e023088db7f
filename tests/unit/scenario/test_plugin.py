"""The pytest plugin: what is FAIL and what is ERROR, dimensions, seeds, the journal."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from lab.journal import read
from tests.unit.build.toykernel import TOY_TREE

pytest_plugins = ["pytester"]


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A pytest in a folder of its own whose runs and cache are there too."""
    monkeypatch.setenv("KVMD_LAB_RUNS", str(pytester.path / "runs"))
    monkeypatch.setenv("KVMD_LAB_CACHE", str(pytester.path / "cache"))
    # it collects garbage five times at the end, which takes a second in a process that ran a thousand tests before
    pytester.makeini("[pytest]\naddopts = -p no:unraisableexception")
    return pytester


PHASES = """
import pytest
from lab.errors import {error}

@pytest.fixture
def early():
    raise {error}("it broke")

def test_in_setup(early): ...

def test_in_call():
    raise {error}("it broke")
"""


@pytest.mark.parametrize(
    ("error", "outcomes"),
    [
        ("SubjectError", {"failed": 2}),
        ("GuestFault", {"failed": 2}),
        ("InfraError", {"errors": 2}),
        ("UsageError", {"errors": 2}),
    ],
)
def test_kind_of_error_decides_between_fail_and_error(
    error: str, outcomes: dict[str, int], suite: pytest.Pytester
) -> None:
    suite.makepyfile(PHASES.format(error=error))
    result = suite.runpytest("--junitxml=out.xml")
    result.assert_outcomes(**outcomes)
    found = ET.parse(suite.path / "out.xml").getroot()[0]
    assert (found.get("failures"), found.get("errors")) == (
        str(outcomes.get("failed", 0)),
        str(outcomes.get("errors", 0)),
    )


def test_marker_wins_over_the_command_line_and_that_over_the_default(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        import pytest

        def test_line(machine_spec):
            assert (machine_spec.cpus, machine_spec.ram_mib, machine_spec.swap_mib) == (2, 16, 32)

        @pytest.mark.machine(cpus=4, ram_mib=64)
        def test_marker(machine_spec):
            assert (machine_spec.cpus, machine_spec.ram_mib, machine_spec.swap_mib) == (4, 64, 32)
        """
    )
    suite.runpytest("--cpus=2", "--swap=32", f"--tree={TOY_TREE}").assert_outcomes(passed=2)


def test_unknown_dimension_is_an_error_that_names_the_known_ones(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        import pytest

        @pytest.mark.machine(legs=4)
        def test_it(machine_spec): ...
        """
    )
    result = suite.runpytest(f"--tree={TOY_TREE}")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*takes ram_mib, swap_mib, cpus, icount_shift, skip_idle, append by name*legs*"])


def test_long_one_comes_first_and_the_others_stay_in_order(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        import pytest

        def test_b(): ...
        def test_a(): ...

        @pytest.mark.long
        def test_c(): ...
        """
    )
    result = suite.runpytest("-v")
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["*::test_c PASSED*", "*::test_b PASSED*", "*::test_a PASSED*"])


def test_seeds_follow_each_other_and_are_named(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        def test_it(seed):
            assert seed in (7, 8, 9)
        """
    )
    result = suite.runpytest("--seed=7", "--seeds=3", "-v")
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["*seed 7*", "*test_it?7?*", "*test_it?9?*"])


def test_seeds_of_a_tests_own_are_left_alone(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("seed", [1, 2])
        def test_it(seed):
            assert seed in (1, 2)
        """
    )
    suite.runpytest("--seeds=3").assert_outcomes(passed=2)


def test_drawn_seed_differs_from_run_to_run(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        import pathlib

        def test_it(seed):
            with pathlib.Path("seeds").open("a") as file:
                file.write(f"{seed} ")
        """
    )
    suite.runpytest()
    suite.runpytest()
    first, second = Path(suite.path / "seeds").read_text().split()
    assert first != second


def test_outcome_and_docstring_are_in_the_journal(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        '''
        def test_it(lab_journal):
            """The first line.

            And more.
            """
        '''
    )
    suite.runpytest("--run-folder=here").assert_outcomes(passed=1)
    (outcome,) = [event for event in read(suite.path / "here/journal.jsonl") if event.get("phase") == "call"]
    assert (outcome["says"], outcome["outcome"]) == ("The first line.", "passed")


def test_tests_without_fixtures_of_the_lab_leave_no_run(suite: pytest.Pytester) -> None:
    suite.makepyfile("def test_it(): ...")
    suite.runpytest().assert_outcomes(passed=1)
    assert not (suite.path / "runs").exists()


REASONS = """
import pytest
from lab.errors import GuestFault, InfraError

@pytest.fixture(autouse=True)
def journal(lab_journal): ...

def test_fault():
    raise GuestFault("an oops", seen=["its line"])

def deep():
    raise InfraError("no disk")

def test_host():
    deep()

def test_assert():
    assert 1 + 1 == 3, "sum"

def test_skip():
    pytest.skip("not here")

@pytest.mark.xfail(reason="known")
def test_known():
    assert False
"""


def test_journal_tells_why_a_test_did_not_pass(suite: pytest.Pytester) -> None:
    suite.makepyfile(REASONS)
    suite.runpytest("--run-folder=here")
    events = read(suite.path / "here/journal.jsonl")
    ended = [event for event in events if event["kind"] == "outcome" and "verdict" in event]
    assert [(event["verdict"], event["why"]) for event in ended] == [
        ("failed", "an oops\n  | its line"),
        ("error", "no disk"),
        ("failed", "AssertionError: sum\nassert (1 + 1) == 3"),
        ("skipped", "not here"),
        ("skipped", "known"),
    ]
    assert ['raise GuestFault("an oops"' in event.get("trace", "") for event in ended] == [True, *[False] * 4]


def test_error_of_the_host_is_its_message_and_not_the_labs_code(suite: pytest.Pytester) -> None:
    suite.makepyfile(REASONS)
    said = suite.runpytest("--run-folder=here").stdout
    said.fnmatch_lines(["E*InfraError: no disk", "ERROR *test_host*"])
    said.no_fnmatch_line("*deep()*")
    said.fnmatch_lines(['>*raise GuestFault("an oops"*'])
    events = read(suite.path / "here/journal.jsonl")
    (trace,) = [event["trace"] for event in events if event.get("why") == "no disk"]
    assert 'raise InfraError("no disk")' in trace
    suite.runpytest("--full-trace").stdout.fnmatch_lines(["*deep()*"])


def test_assert_that_does_not_hold_is_a_check_with_its_place(suite: pytest.Pytester) -> None:
    suite.makepyfile(REASONS)
    suite.runpytest("--run-folder=here")
    checks = [event for event in read(suite.path / "here/journal.jsonl") if event["kind"] == "check"]
    assert [(check["what"], check["passed"], check["line"].partition(":")[0]) for check in checks] == [
        ("AssertionError: sum", False, "test_assert_that_does_not_hold_is_a_check_with_its_place.py")
    ]


def test_last_teardown_of_a_run_is_in_the_journal(suite: pytest.Pytester) -> None:
    suite.makepyfile("def test_it(lab_journal): ...")
    suite.runpytest("--run-folder=here")
    outcomes = [event for event in read(suite.path / "here/journal.jsonl") if event["kind"] == "outcome"]
    assert [event["phase"] for event in outcomes] == ["setup", "call", "teardown"]
