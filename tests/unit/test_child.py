"""A process that runs the lab: ended with all that it started, whatever it does, and its words kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab import child
from lab.child import Child
from tests.runs import gone

FOREVER = "import subprocess,sys,time; subprocess.Popen(['sleep','977']); print('begun', flush=True); {then}"


@pytest.fixture(autouse=True)
def python(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In the test's folder a package called `lab` runs what it is given, in place of the real one."""
    package = tmp_path / "lab"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text("import sys; exec(sys.argv[1])\n")
    monkeypatch.chdir(tmp_path)


def start(code: str, folder: Path) -> Child:
    return Child([code], folder / "log" / "output", {"PYTHONPATH": str(folder), "WORD": "of ours"})


def has_begun(one: Child) -> None:
    """Wait for the first word."""
    while not one.ended and not one.log.read_text():
        one.wait(0.05)
    assert one.log.read_text() == "begun\n"


def test_exit_code_words_and_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_ADDOPTS", "-x")
    words = "print(os.environ['WORD'] + os.environ['PYTEST_ADDOPTS']); print('kvmd-lab: bad luck\\n  try: it')"
    code = f"import os, sys; {words}; sys.exit(7)"
    with start(code, tmp_path) as one:
        one.wait(60.0)
        assert one.ended
    assert one.child.returncode == 7
    assert one.log.read_text().startswith("of ours\n")
    assert one.complaint() == "bad luck"


@pytest.mark.parametrize(("code", "said"), [("print('a'); print('b')", "b"), ("pass", "")])
def test_last_line_where_no_error_was_told(code: str, said: str, tmp_path: Path) -> None:
    with start(code, tmp_path) as one:
        one.wait(60.0)
    assert one.complaint() == said


@pytest.mark.parametrize("then", ["time.sleep(977)", "sys.exit(0)"])
def test_end_leaves_nobody_behind(then: str, tmp_path: Path) -> None:
    with start(FOREVER.format(then=then), tmp_path) as one:
        has_begun(one)
        assert not gone(str(tmp_path), seconds=0.0)
    assert gone(str(tmp_path))


def test_one_that_is_deaf_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "TERM_SECONDS", 0.2)
    deaf = "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('begun', flush=True); "
    with start(deaf + "time.sleep(977)", tmp_path) as one:
        has_begun(one)
    assert one.child.returncode == -9
    assert gone(str(tmp_path))


def test_second_end_signals_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once it was reaped, its number may be another process's."""
    with start("pass", tmp_path) as one:
        one.wait(60.0)
    monkeypatch.setattr("os.killpg", lambda number, _: pytest.fail(f"{number} was signalled"))
    one.__exit__(None, None, None)
