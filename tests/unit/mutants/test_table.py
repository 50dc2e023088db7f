"""The table of mutants against what it speaks of: header, hooks, scenarios, README."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

from lab.build.mutant import constant
from lab.errors import UsageError
from lab.mutants import Mutant, load
from lab.mutants.table import select
from lab.resources import folder
from lab.scenario.runner import SUITE
from lab.version import KernelVersion

KVMD = folder("kvmd")
TABLE = load()
HEADER = (KVMD / "kvmd_mutant.h").read_text()
SOURCES = "".join(path.read_text() for path in sorted(KVMD.rglob("*.c")))


def test_ids_are_those_of_the_header() -> None:
    named = re.findall(r"^\t(KVMD_MUTANT_\w+),?$", HEADER, re.MULTILINE)
    assert Counter([constant(mutant.id) for mutant in TABLE]) == Counter(set(named) - {"KVMD_MUTANT_NONE"})
    assert len(TABLE) >= 15


@pytest.mark.parametrize("mutant", TABLE, ids=lambda mutant: mutant.id)
def test_mutant_has_a_hook_and_a_scenario(mutant: Mutant) -> None:
    assert f"kvmd_mutant({constant(mutant.id).removeprefix('KVMD_MUTANT_')})" in SOURCES
    scenario, _, test = mutant.scenario.partition("::")
    tree = ast.parse((SUITE / f"test_{scenario}.py").read_text())
    assert test in [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]


def test_every_hook_has_its_mutant() -> None:
    hooked = set(re.findall(r"kvmd_mutant\((\w+)\)", SOURCES)) - {"NONE"}
    assert {f"KVMD_MUTANT_{name}" for name in hooked} == {constant(mutant.id) for mutant in TABLE}


def test_readme_leads_from_each_defect_to_its_mutants() -> None:
    rows = [line for line in (KVMD / "README.md").read_text().splitlines() if line.startswith("| ")]
    missing = [mutant.id for mutant in TABLE if not any(f"`{mutant.id}`" in row for row in rows)]
    assert missing == []


def test_select_keeps_the_order_of_the_table() -> None:
    wanted = [TABLE[5].id, TABLE[2].id]
    assert select(TABLE, wanted) == (TABLE[2], TABLE[5])
    assert select(TABLE, []) == TABLE


def test_select_of_an_unknown_mutant_names_those_there_are() -> None:
    with pytest.raises(UsageError) as error:
        select(TABLE, ["no-such"])
    assert TABLE[0].id in str(error.value)


def mutant(**fields: object) -> Mutant:
    return Mutant(**{"id": "one", "defects": ("1",), "does": "it", "scenario": "a::test_b", **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "version", "cpus", "shows"),
    [
        ({}, "6.1.5", 2, True),
        ({"kernels": "<2.5"}, "2.3.99-pre3", 2, True),
        ({"kernels": "<2.5"}, "6.1.5", 2, False),
        ({"cpus": 1}, "2.3.99-pre3", 1, True),
        ({"cpus": 1}, "2.3.99-pre3", 2, False),
    ],
)
def test_mutant_shows_where_it_says(fields: dict[str, object], version: str, cpus: int, *, shows: bool) -> None:
    assert mutant(**fields).shows_on(KernelVersion(version), cpus) == shows


ROW = '[[mutant]]\nid = "a"\ndefects = ["1"]\ndoes = "it"\nscenario = "a::test_b"\n'


@pytest.mark.parametrize(
    "text", ["mutant = 7", ROW + "extra = 1", ROW + 'kernels = "<2.5"', ROW + 'why = "because"', "[[", "[[mutant]]"]
)
def test_damaged_table_is_a_usage_error(text: str, tmp_path: Path) -> None:
    path = tmp_path / "mutants.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"mutants\.toml"):
        load(path)


def test_table_as_it_should_be_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mutants.toml"
    path.write_text(ROW + 'kernels = "<2.5"\nwhy = "because"\n')
    assert load(path) == (mutant(id="a", kernels="<2.5", why="because"),)
