"""matrix and bisect as a person calls them, up to where a kernel would be built."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from lab.cli import matrix
from tests.unit.cli.calls import Call


def test_dry_run_names_the_cells(call: Call) -> None:
    arguments = ("matrix", "tour", "--kernel", "2.3.99-pre3,2.4.0", "--cpus", "1,2", "--seeds", "2", "--dry-run")
    rows = json.loads(call(*arguments, "--json").stdout)
    assert len(rows) == 8
    assert rows[0] == {
        "kernel": "2.3.99-pre3",
        "scenario": "tour",
        "cpus": 1,
        "ram_mib": 16,
        "swap_mib": 96,
        "seed": 1,
    }
    assert call(*arguments).stdout.splitlines()[-1] == "2.4.0-tour-2cpu-16ram-96swap-seed2"
    assert not call.runs.exists()


def test_without_a_word_it_is_all_of_2000(call: Call) -> None:
    rows = json.loads(call("matrix", "--dry-run", "--json").stdout)
    assert len(rows) == 23 * 3
    assert [rows[0]["kernel"], rows[-1]["kernel"]] == ["2.3.99-pre1", "2.4.0"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--kernel", "2.3.99-pre77"), "there is no kernel '2.3.99-pre77'"),
        (("--kernel", "2.2.*"), "no kernel is '2.2.*'"),
        (("--cpus", "one"), "--cpus 'one'"),
        (("--cpus", "99"), "--cpus '99'"),
        (("no_such",), "there is no scenario 'no_such'"),
        (("--resume", "nowhere"), "is no matrix's folder"),
    ],
)
def test_what_can_not_be_is_usage_and_leaves_no_folder(call: Call, arguments: tuple[str, ...], said: str) -> None:
    done = call("matrix", *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert not call.runs.exists()


def test_kernels_without_a_tree_are_named_at_both_ends_and_can_be_tried_later(call: Call, tmp_path: Path) -> None:
    call.mirrors = "http://127.0.0.1:9"
    done = call("matrix", "boot", "--kernel", "2.3.99-pre3,2.4.0")
    assert done.returncode == 8
    assert done.stderr.count("2.4.0: left out: no tree in KVMD_LAB_TREES") == 2
    assert "2 impossible" in done.stdout
    (folder,) = call.runs.iterdir()
    assert "no release server answers" in (folder / "grid.html").read_text()
    assert len(json.loads(call("matrix", "--resume", folder, "--dry-run", "--json").stdout)) == 2
    assert call("report", folder, "--html").stdout.strip() == str(folder / "grid.html")
    assert call("report", folder, "--output", tmp_path / "x.html").returncode == 2


def test_resumed_one_takes_no_other_options(call: Call, tmp_path: Path) -> None:
    done = call("matrix", "--resume", tmp_path, "--cpus", "2")
    assert done.returncode == 2
    assert "--resume goes on with what was asked for then" in done.stderr


def test_bisect_refuses_ends_that_are_not_there(call: Call) -> None:
    call.mirrors = "http://127.0.0.1:9"
    done = call("bisect", "boot", "--good", "2.3.99-pre3", "--bad", "2.4.0")
    assert done.returncode == 2
    assert "2.3.99-pre3 is said to be good" in done.stderr
    assert "no release server answers" in done.stderr
    assert call("bisect", "boot", "--good", "2.2.14", "--bad", "2.4.0").returncode == 2


def test_workers_of_a_cluster_that_is_there_are_not_ours_to_count(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", ModuleType("distributed"))
    done = call("matrix", "boot", "--dask", "tcp://127.0.0.1:9", "--workers", "2")
    assert done.returncode == 2
    assert "--workers is for this host" in done.stderr
    assert not call.runs.exists()


@pytest.mark.parametrize("command", [("matrix",), ("bisect", "boot", "--good=2.4.0", "--bad=2.3.99-pre3")])
def test_cluster_without_dask_leaves_no_folder(
    command: tuple[str, ...], call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    done = call(*command, "--dask", "local")
    assert done.returncode == 2
    assert "pip install 'kvmd-lab[cluster]'" in done.stderr
    assert not call.runs.exists()


def test_help_names_the_scenarios_that_run_when_none_is_named() -> None:
    said = (matrix.matrix.__doc__ or "").partition("Without a SCENARIO: ")[2].partition(".")[0]
    assert tuple(said.replace(" and ", ", ").split(", ")) == matrix.SCENARIOS
