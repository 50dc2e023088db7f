"""What a cell's process leaves, turned into a result."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from unittest import mock

import pytest

from lab.child import Child
from lab.matrix import Cell, CellResult, MatrixPlan, work

CELL = Cell(kernel="2.3.99-pre3", scenario="tour", cpus=2, ram_mib=16, swap_mib=96, seed=7)
PLAN = MatrixPlan(kernels=("2.3.99-pre3",), scenarios=("tour",), timeout=0.2)
ENDED = {"kind": "outcome", "phase": "call", "seconds": 0.5}
SKIPPED = {**ENDED, "test": "a", "outcome": "skipped", "verdict": "skipped", "why": "not here"}
FAILED = {**ENDED, "test": "b", "outcome": "failed", "verdict": "failed", "why": "assert 1 == 2\n and more"}


class Left(Child):
    """A process that ended at once, or never will: what it leaves, and how it ends."""

    code: int | None = 0
    counts: dict[str, object] | None
    events: list[dict[str, object]]
    words = ""
    number = 0
    arguments: Sequence[str] = ()

    def __init__(self, arguments: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        kind = type(self)
        kind.arguments = arguments
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(self.words)
        self.child = mock.Mock(returncode=self.code)
        if self.counts is not None:
            kind.number += 1
            run = Path(environment["KVMD_LAB_RUNS"]) / f"2026-{self.number}-run"
            run.mkdir(parents=True)
            result = {"folder": str(run), "outcome": {**self.counts, "exit_code": self.code}, "repeat": "kvmd-lab run"}
            (run / "result.json").write_text(json.dumps(result))
            (run / "journal.jsonl").write_text("".join(json.dumps({"t": 1, **event}) + "\n" for event in self.events))

    @property
    def ended(self) -> bool:
        return self.code is not None

    def wait(self, seconds: float) -> None:
        threading.Event().wait(seconds)

    def __exit__(self, *_: object) -> None:
        pass


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch) -> type[Left]:
    counts: dict[str, object] = {"passed": 1, "failed": 0, "errors": 0, "skipped": 0, "error": ""}
    kind = type("Left", (Left,), {"counts": counts, "events": []})
    monkeypatch.setattr(work, "Child", kind)
    return kind


def attempt(folder: Path) -> CellResult:
    return work.attempt(CELL, folder, PLAN, threading.Event())


def test_pass_has_its_run_and_no_reason(child: type[Left], tmp_path: Path) -> None:
    result = attempt(tmp_path)
    assert (result.outcome, result.reason, result.cell) == ("passed", "", CELL)
    assert (tmp_path / result.run / "result.json").is_file()
    assert "2026-1-run" in (tmp_path / result.run / "report.html").read_text()
    assert child.arguments[:2] == ["run", "tour"]
    assert {"--kernel=2.3.99-pre3", "--cpus=2", "--ram=16", "--swap=96", "--seed=7"} <= set(child.arguments)


def test_failure_has_the_reason_of_the_failure(child: type[Left], tmp_path: Path) -> None:
    child.code, child.counts = 1, {"passed": 1, "failed": 1, "errors": 0, "skipped": 1, "error": ""}
    child.events = [SKIPPED, FAILED]
    result = attempt(tmp_path)
    assert (result.outcome, result.reason) == ("failed", "assert 1 == 2")


def test_run_of_which_no_page_can_be_made_has_its_result(child: type[Left], tmp_path: Path) -> None:
    child.events = [{"kind": "outcome"}]
    result = attempt(tmp_path)
    assert result.outcome == "passed"
    assert not (tmp_path / result.run / "report.html").exists()


def test_scenario_that_is_not_for_this_kernel_is_skipped_with_its_reason(child: type[Left], tmp_path: Path) -> None:
    child.counts = {"passed": 0, "failed": 0, "errors": 0, "skipped": 1, "error": ""}
    child.events = [SKIPPED]
    result = attempt(tmp_path)
    assert (result.outcome, result.reason) == ("skipped", "not here")


def test_error_of_the_host_is_told_as_one(child: type[Left], tmp_path: Path) -> None:
    child.code, child.counts = 8, {"passed": 0, "failed": 0, "errors": 1, "skipped": 0, "error": "no QEMU\n  try: it"}
    result = attempt(tmp_path)
    assert (result.outcome, result.reason) == ("error", "no QEMU")


def test_end_without_a_run_is_an_error_with_the_last_words(child: type[Left], tmp_path: Path) -> None:
    child.code, child.counts, child.words = 8, None, "source done\nkvmd-lab: the disk is full\n  | more\n"
    result = attempt(tmp_path)
    assert (result.outcome, result.reason, result.run) == ("error", "the disk is full", "")


def test_run_of_an_earlier_try_is_not_this_one(child: type[Left], tmp_path: Path) -> None:
    assert attempt(tmp_path).outcome == "passed"
    child.code, child.counts = 137, None
    result = attempt(tmp_path)
    assert (result.outcome, result.reason, result.run) == ("error", "it ended with 137", "")


def test_no_end_in_time(child: type[Left], tmp_path: Path) -> None:
    child.code = None
    result = attempt(tmp_path)
    assert (result.outcome, result.reason) == ("timeout", "no end within 0.2 s")


@pytest.mark.parametrize(
    ("code", "outcome"),
    [(3, "impossible"), (4, "impossible"), (6, "impossible"), (7, "impossible"), (8, "error"), (None, "error")],
)
def test_kernel_that_does_not_build(
    code: int | None, outcome: str, child: type[Left], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child.code, child.counts, child.words = code, None, "kvmd-lab: it does not link\n"
    monkeypatch.setattr(work, "BUILD_SECONDS", 0.2)
    found = work.build("2.4.0", "smp", tmp_path, threading.Event())
    assert found is not None
    assert found.outcome == outcome
    assert child.arguments == ["build", "--kernel=2.4.0", "--cpus=2"]


def test_kernel_that_builds_has_no_trouble(child: type[Left], tmp_path: Path) -> None:
    child.counts = None
    assert work.build("2.4.0", "up", tmp_path, threading.Event()) is None
    assert child.arguments == ["build", "--kernel=2.4.0", "--cpus=1"]
