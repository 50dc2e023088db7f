from __future__ import annotations

import json
from pathlib import Path
from unittest import mock

import pytest

from lab.mutants import Judgement, Mutant, load
from lab.mutants.hunt import Result
from tests.unit.build.toykernel import TOY_TREE
from tests.unit.cli.calls import Call


def test_list_tells_each_mutant_with_its_scenario(call: Call) -> None:
    rows = json.loads(call("mutants", "--list", "--json").stdout)
    assert [(row["id"], row["scenario"]) for row in rows] == [(one.id, one.scenario) for one in load()]
    text = call("mutants", "--list", "--mutant", "polling").stdout
    assert text.startswith("polling  [15]  queue::")
    assert len(text.splitlines()) == 2


def test_unknown_mutant_is_usage(call: Call) -> None:
    done = call("mutants", "--mutant", "no-such")
    assert done.returncode == 2
    assert "no-such" in done.stderr


def test_mutant_that_the_kernel_does_not_know_is_a_config_error(call: Call) -> None:
    done = call.process("run", "boot", "--mutant", "polling", "--tree", TOY_TREE)
    assert done.returncode == 5
    assert "knows no defect 'polling'" in done.stdout + done.stderr


@pytest.mark.parametrize(("result", "code"), [("killed", 0), ("survived", 1), ("hung", 1), ("error", 1), ("void", 1)])
def test_hole_in_the_suite_leaves_with_1(call: Call, result: Result, code: int) -> None:
    def verdicts(mutants: tuple[Mutant, ...], *_: object) -> list[Judgement]:
        first, *rest = mutants
        results: list[Result] = [result, *(["killed"] * len(rest))]  # type: ignore[list-item]
        return [
            Judgement(mutant=one.id, defects=one.defects, scenario=one.scenario, result=found, seconds=1.0, said="")
            for one, found in zip((first, *rest), results, strict=True)
        ]

    with mock.patch("lab.mutants.hunt.hunt", verdicts):
        done = call("mutants", "--tree", TOY_TREE, "--json")
    assert done.returncode == code, done.stderr
    rows = json.loads(done.stdout)
    assert [row["mutant"] for row in rows] == [one.id for one in load()]
    assert rows[0]["result"] == result


def test_table_is_printed_with_the_folder_of_the_runs(call: Call, tmp_path: Path) -> None:
    with mock.patch("lab.mutants.hunt.hunt", return_value=[]):
        done = call("mutants", "--tree", TOY_TREE)
    assert "0 of 0 killed" in done.stdout
    assert str(tmp_path / "runs") in done.stdout
