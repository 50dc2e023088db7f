"""The table of controls against what it speaks of: header, hooks, scenarios, README."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

from lab.build.control import constant
from lab.controls import Control, load
from lab.controls.table import select
from lab.errors import UsageError
from lab.resources import folder
from lab.scenario.runner import SUITE
from lab.version import KernelVersion

KVMD = folder("kvmd")
TABLE = load()
HEADER = (KVMD / "kvmd_control.h").read_text()
SOURCES = "".join(path.read_text() for path in sorted(KVMD.rglob("*.c")))


def test_ids_are_those_of_the_header() -> None:
    named = re.findall(r"^\t(KVMD_CONTROL_\w+),?$", HEADER, re.MULTILINE)
    assert Counter([constant(control.id) for control in TABLE]) == Counter(set(named) - {"KVMD_CONTROL_NONE"})
    assert len(TABLE) >= 15


@pytest.mark.parametrize("control", TABLE, ids=lambda control: control.id)
def test_control_has_a_hook_and_a_scenario(control: Control) -> None:
    assert f"kvmd_control({constant(control.id).removeprefix('KVMD_CONTROL_')})" in SOURCES
    scenario, _, test = control.scenario.partition("::")
    tree = ast.parse((SUITE / f"test_{scenario}.py").read_text())
    assert test in [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]


def test_every_hook_has_its_control() -> None:
    hooked = set(re.findall(r"kvmd_control\((\w+)\)", SOURCES)) - {"NONE"}
    assert {f"KVMD_CONTROL_{name}" for name in hooked} == {constant(control.id) for control in TABLE}


def test_readme_leads_from_each_defect_to_its_controls() -> None:
    rows = [line for line in (KVMD / "README.md").read_text().splitlines() if line.startswith("| ")]
    missing = [control.id for control in TABLE if not any(f"`{control.id}`" in row for row in rows)]
    assert missing == []


def test_select_keeps_the_order_of_the_table() -> None:
    wanted = [TABLE[5].id, TABLE[2].id]
    assert select(TABLE, wanted) == (TABLE[2], TABLE[5])
    assert select(TABLE, []) == TABLE


def test_select_of_an_unknown_control_names_those_there_are() -> None:
    with pytest.raises(UsageError) as error:
        select(TABLE, ["no-such"])
    assert TABLE[0].id in str(error.value)


def control(**fields: object) -> Control:
    return Control(**{"id": "one", "defects": ("1",), "does": "it", "scenario": "a::test_b", **fields})  # type: ignore[arg-type]


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
def test_control_shows_where_it_says(fields: dict[str, object], version: str, cpus: int, *, shows: bool) -> None:
    assert control(**fields).shows_on(KernelVersion(version), cpus) == shows


ROW = '[[control]]\nid = "a"\ndefects = ["1"]\ndoes = "it"\nscenario = "a::test_b"\n'


@pytest.mark.parametrize(
    "text", ["control = 7", ROW + "extra = 1", ROW + 'kernels = "<2.5"', ROW + 'why = "because"', "[[", "[[control]]"]
)
def test_damaged_table_is_a_usage_error(text: str, tmp_path: Path) -> None:
    path = tmp_path / "controls.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"controls\.toml"):
        load(path)


def test_table_as_it_should_be_is_read(tmp_path: Path) -> None:
    path = tmp_path / "controls.toml"
    path.write_text(ROW + 'kernels = "<2.5"\nwhy = "because"\n')
    assert load(path) == (control(id="a", kernels="<2.5", why="because"),)
