"""Scenarios that make no sense on every kernel."""

from __future__ import annotations

import pytest

from tests.unit.build.toykernel import TOY_TREE
from tests.unit.scenario.test_plugin import suite

__all__ = ["suite"]
pytest_plugins = ["pytester"]

TEST = """
import pytest

@pytest.mark.kernels({marker})
def test_thing(machine_spec): ...
"""


@pytest.mark.parametrize(
    ("marker", "outcomes"),
    [
        ('"<2.5", reason="new ones have none"', {"passed": 1}),
        ('">=6.1", reason="old ones have none"', {"skipped": 1}),
        ('">=6.1"', {"errors": 1}),
        ('reason="no range"', {"errors": 1}),
    ],
)
def test_scenario_runs_on_the_kernels_that_it_names(
    suite: pytest.Pytester, marker: str, outcomes: dict[str, int]
) -> None:
    suite.makepyfile(TEST.format(marker=marker))
    result = suite.runpytest(f"--tree={TOY_TREE}", "-rs")
    result.assert_outcomes(**outcomes)
    if "skipped" in outcomes:
        result.stdout.fnmatch_lines(["*not on 2.3.99-pre3: old ones have none*"])
