"""A process that does one cell: given up in time, with all that it started, and its words kept."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from lab.matrix import child

FOREVER = "import subprocess,sys,time; subprocess.Popen(['sleep','977']); {then}"


@pytest.fixture(autouse=True)
def python(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In the test's folder a package called `lab` runs what it is given, in place of the real one."""
    package = tmp_path / "lab"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text("import sys; exec(sys.argv[1])\n")
    monkeypatch.chdir(tmp_path)


def call(code: str, folder: Path, *, budget: float = 60.0, stop: threading.Event | None = None) -> int | None:
    return child.lab(
        [code],
        log=folder / "log" / "output",
        budget=budget,
        stop=stop or threading.Event(),
        environment={"PYTHONPATH": str(folder), "WORD": "of ours"},
    )


def running(command: str) -> list[str]:
    """Processes with such a command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            continue
        if words == command:
            found.append(path.parent.name)
    return found


def gone(command: str) -> bool:
    """Wait until no process has such a command line any more: who is killed may take a moment to end."""
    end = time.monotonic() + 10
    while running(command) and time.monotonic() < end:
        threading.Event().wait(0.01)
    return not running(command)


def test_exit_code_output_and_environment(tmp_path: Path) -> None:
    code = "import os,sys; print(os.environ['WORD']); print('kvmd-lab: bad luck', file=sys.stderr); sys.exit(7)"
    assert call(code, tmp_path) == 7
    log = tmp_path / "log" / "output"
    assert "of ours" in log.read_text()
    assert child.complaint(log) == "bad luck"


def test_no_complaint_where_nothing_was_said(tmp_path: Path) -> None:
    assert child.complaint(tmp_path / "none") == ""


def test_what_takes_too_long_is_gone_with_all_it_started(tmp_path: Path) -> None:
    begin = time.monotonic()
    assert call(FOREVER.format(then="time.sleep(977)"), tmp_path, budget=1.0) is None
    assert time.monotonic() - begin < 30
    assert gone("sleep 977")


def test_what_ended_leaves_nobody_behind_either(tmp_path: Path) -> None:
    assert call(FOREVER.format(then="sys.exit(0)"), tmp_path) == 0
    assert gone("sleep 977")


def test_stop_ends_it_at_once(tmp_path: Path) -> None:
    stop = threading.Event()
    threading.Timer(0.5, stop.set).start()
    with pytest.raises(child.Stopped):
        call("import time; time.sleep(977)", tmp_path, stop=stop)


def test_one_that_does_not_want_to_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "TERM_SECONDS", 0.2)
    stubborn = "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); "
    assert call(stubborn + "time.sleep(977)", tmp_path, budget=1.0) is None
    assert "deaf" in (tmp_path / "log" / "output").read_text()
