from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lab import process
from lab.errors import HostError
from lab.journal import Journal

SECONDS = 10.0


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "ein Log é" / "log"


def is_gone(pid: int) -> bool:
    """Wait until a process has ended; one that nobody has waited for yet counts as ended."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    with os.fdopen(handle, "rb", buffering=0) as file:
        return bool(select.select([file], [], [], SECONDS)[0])


def cut_short(script: str, log: Path, count: int = 1) -> tuple[list[str], HostError]:
    """Run a shell script whose time is over when it has printed `count` lines; return the lines, and the error."""
    lines: list[str] = []
    clock = SimpleNamespace(monotonic=lambda: float(len(lines) >= count))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process, "time", clock)
        with pytest.raises(HostError, match="no end within 0 s") as caught:
            process.run(["sh", "-c", script], log=log, journal=Journal(), on_line=lines.append, timeout=0.4)
    return lines, caught.value


def test_command_and_output_are_in_the_log_so_that_it_can_be_repeated(log: Path, tmp_path: Path) -> None:
    status = process.run(["sh", "-c", "echo out; echo err >&2; exit 3"], cwd=tmp_path, log=log, journal=Journal())
    assert status == 3
    assert log.read_text() == f"$ cd {tmp_path} && sh -c 'echo out; echo err >&2; exit 3'\nout\nerr\n"


def test_command_has_all_cores_whatever_its_parent_keeps_to(log: Path) -> None:
    lines: list[str] = []
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        process.run(["nproc"], log=log, journal=Journal(), on_line=lines.append)
        assert os.sched_getaffinity(0) == {min(cores)}
    finally:
        os.sched_setaffinity(0, cores)
    assert lines == [str(len(process.CORES))]


def test_log_of_a_second_command_follows_the_first(log: Path) -> None:
    for text in ("one", "two"):
        process.run(["echo", text], log=log, journal=Journal())
    assert [line for line in log.read_text().splitlines() if not line.startswith("$")] == ["one", "two"]


def test_lines_are_told_as_they_come_whatever_they_hold(log: Path) -> None:
    lines: list[str] = []
    process.run(["printf", r"a\nb\377\n\nlast"], log=log, journal=Journal(), on_line=lines.append)
    assert lines == ["a", "b�", "", "last"]


def test_command_is_in_the_journal(log: Path) -> None:
    heard: list[dict[str, Any]] = []
    journal = Journal()
    journal.listen(heard.append)
    process.run(["sh", "-c", "exit 1"], log=log, journal=journal)
    assert [(event["kind"], event["argv"], event["returncode"]) for event in heard] == [
        ("command", ["sh", "-c", "exit 1"], 1)
    ]


def test_input_larger_than_a_pipe_reaches_a_command_that_answers_at_once(log: Path) -> None:
    text = b"x" * 64 + b"\n"
    count = 0

    def watch(_line: str) -> None:
        nonlocal count
        count += 1

    assert process.run(["cat"], log=log, journal=Journal(), stdin=text * 20000, on_line=watch, timeout=SECONDS) == 0
    assert count == 20000


def test_input_that_nobody_reads_does_no_harm(log: Path) -> None:
    assert process.run(["true"], log=log, journal=Journal(), stdin=b"x" * 1_000_000) == 0


def test_environment_is_the_given_one_with_a_place_for_temporary_files(log: Path) -> None:
    process.run(["/usr/bin/env"], log=log, journal=Journal(), env={"ONLY": "this", "TMPDIR": "/nowhere"})
    names = {line.partition("=")[0]: line for line in log.read_text().splitlines()[1:]}
    assert names.keys() == {"ONLY", "TMPDIR"}
    assert names["ONLY"] == "ONLY=this"
    assert names["TMPDIR"] != "TMPDIR=/nowhere"


def test_missing_command_is_a_host_error(log: Path) -> None:
    with pytest.raises(HostError, match="no-such-command is not installed"):
        process.run(["no-such-command"], log=log, journal=Journal())


def test_missing_tool_names_its_package() -> None:
    with pytest.raises(HostError, match="no-such-tool is not installed") as caught:
        process.require("no-such-tool", "toolbox")
    assert caught.value.hint == "apt-get install toolbox"


def test_tool_that_is_there_is_found() -> None:
    assert Path(process.require("sh", "dash")).name == "sh"


def test_command_that_is_late_is_killed_with_its_children(log: Path) -> None:
    pids, error = cut_short("tail -f /dev/null & echo $!; echo $$; wait", log, 2)
    assert error.log == log
    assert len(pids) == 2
    assert all(is_gone(int(pid)) for pid in pids)


def test_child_that_outlives_the_command_and_holds_its_output_is_killed_when_it_is_late(log: Path) -> None:
    pids, _ = cut_short("tail -f /dev/null & echo $!", log)
    assert is_gone(int(pids[0]))


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_interrupted_lab_kills_the_command_with_its_children(log: Path, error: type[BaseException]) -> None:
    pids: list[int] = []

    def watch(line: str) -> None:
        pids.append(int(line))
        if len(pids) == 2:
            raise error

    begin = time.monotonic()
    with pytest.raises(error):
        process.run(
            ["sh", "-c", "tail -f /dev/null & echo $!; echo $$; wait"], log=log, journal=Journal(), on_line=watch
        )
    assert time.monotonic() - begin < SECONDS
    assert all(is_gone(pid) for pid in pids)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_while_a_command_starts_kills_it_too(number: int, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes when the command runs and nobody knows of it yet."""
    started: list[subprocess.Popen[bytes]] = []
    start = process._start

    def interrupted_start(*arguments: Any) -> subprocess.Popen[bytes]:
        started.append(start(*arguments))
        signal.raise_signal(number)
        return started[0]

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(process, "_start", interrupted_start)
    before = signal.signal(number, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            process.run(["sleep", "600"], log=log, journal=Journal())
        assert signal.getsignal(number) is interrupt
    finally:
        signal.signal(number, before)
        gone = started[0].returncode
        started[0].kill()
        started[0].wait()
    assert gone == -signal.SIGKILL


def test_command_dies_with_a_killed_lab(log: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "nobody-writes")
    command = f"echo $$; exec cat < {tmp_path / 'nobody-writes'}"
    script = (
        "import sys; from pathlib import Path; from lab import process; from lab.journal import Journal\n"
        f"process.run(['sh', '-c', {command!r}], log=Path({str(log)!r}), journal=Journal(),\n"
        "            on_line=lambda line: print(line, flush=True))"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as lab:
        assert lab.stdout is not None
        pid = int(lab.stdout.readline())
        lab.send_signal(signal.SIGKILL)
        lab.wait(SECONDS)
    try:
        assert is_gone(pid)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_temporary_file_of_a_killed_command_goes_with_it(log: Path) -> None:
    made, _ = cut_short('touch "$TMPDIR/left"; echo "$TMPDIR"; sleep 60', log)
    assert [Path(folder).exists() for folder in made] == [False]
