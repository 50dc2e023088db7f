"""Every log in tests/data/console says in its header what must be found in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.machine import oops
from lab.machine.symbols import Place, Symbols

FOLDER = Path(__file__).parents[2] / "data" / "console"
LOGS = sorted(FOLDER.glob("*.log"))


def read(path: Path) -> tuple[dict[str, str], list[str]]:
    lines = path.read_text().splitlines()
    header = dict(line[2:].split(": ", 1) for line in lines if line.startswith("# "))
    return header, [line for line in lines if not line.startswith("# ")]


def short(place: Place | None) -> str:
    return f"{place.symbol}+{place.offset:#x}" if place else ""


@pytest.mark.parametrize("path", LOGS, ids=lambda path: path.stem)
def test_console_log_gives_verdict_of_its_header(path: Path) -> None:
    expected, lines = read(path)
    found = oops.report(lines, Symbols.load(FOLDER / "System.map"))
    if found is None:
        assert expected == {"verdict": "none"}
        return
    told = {
        "verdict": found.kind,
        "text": found.text,
        "eip": short(found.eip),
        "process": found.process,
        "trace": " ".join(short(place) for place in found.trace),
    }
    assert {key: value for key, value in told.items() if value} == expected


def test_folder_of_logs_has_every_kind_of_fault() -> None:
    verdicts = {read(path)[0]["verdict"] for path in LOGS}
    assert verdicts == {pattern.kind for pattern in oops.PATTERNS} | {"none"}


def test_fault_without_system_map_is_told_without_names() -> None:
    _, lines = read(FOLDER / "null-pointer.log")
    found = oops.report(lines, Symbols())
    assert found is not None
    assert (found.eip, found.trace) == (None, ())
    assert "EIP:    0010:[<c0120014>]" in oops.ConsoleFault(found).seen


def test_decoded_fault_names_function_process_and_trace() -> None:
    _, lines = read(FOLDER / "null-pointer.log")
    found = oops.report(lines, Symbols.load(FOLDER / "System.map"))
    assert found is not None
    text = str(oops.ConsoleFault(found))
    assert text.splitlines()[0].endswith("00000010 in toy_map_user+0x14/0x100, process pressure (pid 41)")
    assert "    toy_run_task_queue+0x3c/0xfc00" in text
