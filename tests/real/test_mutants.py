"""Known defects put back into a real 2.3.99-pre3: the suite notices, and an ordinary kernel has none of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.source import Tree
from tests.real.test_scenarios import lab


@pytest.mark.parametrize("cpus", [1, 2])
def test_defects_that_are_put_back_are_noticed(
    real_tree: Tree, cpus: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KVMD_LAB_RUNS", str(tmp_path))
    chosen = ("two-gib-sign", "foreign-free", "polling", "off-by-one-slots")
    rows = lab(real_tree, "mutants", f"--cpus={cpus}", *(f"--mutant={name}" for name in chosen))
    assert {row["mutant"]: row["result"] for row in rows} == dict.fromkeys(chosen, "killed")


def test_only_a_mutant_says_that_it_is_one(real_tree: Tree) -> None:
    said = b"a mutant, built with defect"
    kernel = lab(real_tree, "build")
    assert kernel["manifest"]["mutant"] is None
    assert said not in Path(kernel["kernel"]["vmlinux"]).read_bytes()
