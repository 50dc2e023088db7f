"""The lab's own command line in a process of its own: it can be given up at any time, and takes everything with it."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from lab.errors import last_lines
from lab.host_trouble import host_trouble
from lab.process import dying_with_parent

TERM_SECONDS = 10.0
_MARK = "kvmd-lab: "


class Child:
    """A process that runs `kvmd-lab` with some arguments; use it in `with`, or it stays. What it says goes to `log`."""

    def __init__(self, arguments: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        """`environment` comes on top of ours. HostError: the host lets us start no process, or write no log."""
        self.log = log
        with host_trouble(f"starting kvmd-lab {' '.join(arguments[:2])}"):
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("wb") as words:
                self.child = subprocess.Popen(
                    dying_with_parent([sys.executable, "-m", "lab", *arguments]),
                    stdin=subprocess.DEVNULL,
                    stdout=words,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, "PYTEST_ADDOPTS": "", **environment},
                    process_group=0,
                )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it, and kill what it started. It is asked first, so that it can put its things away.

        Once it is reaped its number may be another process's: a second call does nothing.
        """
        if self.child.returncode is not None:
            return
        try:
            if not self.ended:
                self.child.terminate()
                self.wait(TERM_SECONDS)
        finally:
            with contextlib.suppress(ProcessLookupError):  # until it is reaped its number is nobody else's
                os.killpg(self.child.pid, signal.SIGKILL)
            self.child.wait()

    @property
    def ended(self) -> bool:
        """Whether it came to its end. It is reaped at the end of the `with`, not here."""
        how = os.WEXITED | os.WNOWAIT | os.WNOHANG
        return self.child.returncode is not None or os.waitid(os.P_PID, self.child.pid, how) is not None

    def wait(self, seconds: float) -> None:
        """Let time pass, at most until it has ended."""
        if self.ended:
            return
        with host_trouble("waiting for kvmd-lab"):
            number = os.pidfd_open(self.child.pid)
        try:
            poll = select.poll()
            poll.register(number, select.POLLIN)
            poll.poll(seconds * 1000)
        finally:
            os.close(number)

    def complaint(self) -> str:
        """Return the first line of the last error that it told of, or else its last line; empty: it said nothing."""
        lines = last_lines(self.log, sys.maxsize)
        errors = [line.removeprefix(_MARK) for line in lines if line.startswith(_MARK)]
        return (errors or lines or [""])[-1]
