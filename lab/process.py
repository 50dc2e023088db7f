"""Run host commands: logged so that a person can repeat them, and gone when the lab is gone."""

from __future__ import annotations

import contextlib
import os
import select
import shlex
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

from lab.errors import HostError
from lab.journal import Journal
from lab.tools import advice

SLICE_SECONDS = 0.2  # seconds
CORES = os.sched_getaffinity(0)  # that may be used; before a process of several settles on one of them
LineWatch = Callable[[str], None]

_SYSTEM_FOLDERS = "/usr/sbin:/sbin"  # not in the PATH of Debian's ordinary users
_ENDING = (signal.SIGINT, signal.SIGTERM)


def find_tool(tool: str) -> str | None:
    """Return the path of a host tool, or None; what only root has in its PATH is found as well."""
    return shutil.which(tool, path=os.pathsep.join((os.environ.get("PATH", ""), _SYSTEM_FOLDERS)))


def require(tool: str, package: str, doing: str = "") -> str:
    """Return the path of a host tool; a missing one is a HostError that says what brings it (Debian's package)."""
    found = find_tool(tool)
    if found is None:
        raise HostError(f"{tool} is not installed", doing=doing, hint=advice(tool, package))
    return found


def run(
    argv: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    log: Path,
    journal: Journal,
    env: Mapping[str, str] | None = None,
    stdin: bytes = b"",
    on_line: LineWatch | None = None,
    timeout: float = 3600.0,
) -> int:
    """Run a command to its end and return its exit status; its output is appended to `log`, after the command itself.

    `on_line` gets each line of the output as it comes. When the lab is interrupted, or `timeout` seconds have passed,
    the command's whole process group is killed first; the timeout is a HostError. Temporary files go to a folder of
    the command's own, since a compiler that is killed leaves them.
    """
    words = [str(word) for word in argv]
    log.parent.mkdir(parents=True, exist_ok=True)
    begin = time.monotonic()
    with (
        log.open("ab") as sink,
        TemporaryDirectory(prefix="kvmd-lab-", ignore_cleanup_errors=True) as scratch,
    ):
        sink.write(f"$ cd {shlex.quote(str(cwd or Path.cwd()))} && {shlex.join(words)}\n".encode())
        sink.flush()
        child = None
        try:
            with _signals_held_back():
                child = _start(words, cwd, {**(os.environ if env is None else env), "TMPDIR": scratch})
                threading.Thread(target=_feed, args=(child, stdin), daemon=True).start()
            in_time = _drain(child, sink, on_line, begin + timeout)
            status = child.wait() if in_time else None
        finally:
            if child is not None:
                _kill(child)
                _reap(child)
    journal.record("command", argv=words, cwd=str(cwd), seconds=time.monotonic() - begin, returncode=status)
    if status is None:
        raise HostError(f"no end within {timeout:.0f} s", doing=shlex.join(words), log=log)
    return status


@contextlib.contextmanager
def _signals_held_back() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM come only at the end: within Popen they would leave a child that nobody knows of.

    Python runs handlers in the main thread alone, so that other threads have nothing to hold back.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    handlers = {number: signal.signal(number, lambda one, _: came.append(one)) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler or signal.SIG_DFL)  # None: set by a program that is not Python
        for one in came:
            signal.raise_signal(one)


def dying_with_parent(words: Sequence[str]) -> list[str]:
    """Return the command that the kernel kills when the thread that started it ends; HostError: there is no setpriv.

    A program rather than a function between fork and exec: this process has threads, whose locks the child would have.
    """
    return [require("setpriv", "util-linux"), "--pdeathsig", "KILL", "--", *words]


@contextlib.contextmanager
def _on_all_cores() -> Iterator[None]:
    """Let what this thread starts have all cores, whatever the thread keeps to: a compiler can use them."""
    mine = os.sched_getaffinity(0)
    os.sched_setaffinity(0, CORES)
    try:
        yield
    finally:
        os.sched_setaffinity(0, mine)


def _start(words: Sequence[str], cwd: Path | None, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    if "/" not in words[0] and shutil.which(words[0], path=env.get("PATH")) is None:
        raise HostError(f"{words[0]} is not installed", doing=shlex.join(words))
    with _on_all_cores():
        return subprocess.Popen(
            dying_with_parent(words),
            cwd=cwd,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            process_group=0,
        )


def _feed(child: subprocess.Popen[bytes], stdin: bytes) -> None:
    assert child.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        child.stdin.write(stdin)
    with contextlib.suppress(BrokenPipeError):
        child.stdin.close()


def _drain(child: subprocess.Popen[bytes], sink: IO[bytes], on_line: LineWatch | None, end: float) -> bool:
    """Take the output until the child has ended; return whether that was before `end`.

    Never waits for longer than SLICE_SECONDS: a signal that comes just before a wait is only seen after it.
    """
    rest = b""
    while time.monotonic() < end:
        chunk = _read(child)
        if chunk == b"":
            if _has_ended(child):
                break
            continue
        sink.write(chunk or b"")
        *lines, rest = (rest + (chunk or b"")).split(b"\n")
        _tell(lines, on_line)
    else:
        return False
    _tell([rest] if rest else [], on_line)
    return True


def _read(child: subprocess.Popen[bytes]) -> bytes | None:
    """Return what there is (nothing at the end of the output), or None when nothing came within SLICE_SECONDS."""
    assert child.stdout is not None
    if not select.select([child.stdout], [], [], SLICE_SECONDS)[0]:
        return None
    return os.read(child.stdout.fileno(), 1 << 16)


def _has_ended(child: subprocess.Popen[bytes]) -> bool:
    """Whether the child ends within SLICE_SECONDS; it stays a zombie, so that its number stays its own."""
    end = time.monotonic() + SLICE_SECONDS
    while time.monotonic() < end:
        if os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None:
            return True
        select.select([], [], [], SLICE_SECONDS / 20)
    return False


def _tell(lines: Sequence[bytes], on_line: LineWatch | None) -> None:
    if on_line is not None:
        for line in lines:
            on_line(line.decode(errors="replace"))


def _kill(child: subprocess.Popen[bytes]) -> None:
    """Kill a child that leads its own process group, with all that it started, also when it ended before them.

    Until it is waited for nobody else can get its number.
    """
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)


def _reap(child: subprocess.Popen[bytes]) -> None:
    child.wait()
    if child.stdout is not None:
        child.stdout.close()
