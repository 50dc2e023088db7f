"""The keeper's parent, which kills a keeper that says nothing any more: one that hangs, or that somebody stopped.

A process that is stopped (SIGSTOP) notices no end of its input and no silence, and its QEMUs would stay with it. The
guard does nothing but listen: the loop of the keeper promises it, again and again, to be heard of within so many
seconds. If the guard is killed the keeper dies with it. If only the guard is stopped, the keeper ends as ever.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import struct
import time

START_SECONDS = 60.0  # until the first promise
ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)  # the guard passes these on
_PROMISE = struct.Struct("<d")
_PR_SET_PDEATHSIG = 1
_KILLED = 128  # what a shell adds to the number of the signal


class Pulse:
    """The keeper's way to its guard."""

    def __init__(self, sink: int) -> None:
        """`sink` is a pipe."""
        os.set_blocking(sink, False)
        self._sink = sink

    def promise(self, seconds: float) -> None:
        """Say that the next promise comes within so many seconds, or the end does."""
        with contextlib.suppress(OSError):  # the guard is stopped; or dying, and so are we
            os.write(self._sink, _PROMISE.pack(seconds))


def under_guard() -> Pulse:
    """Go on in a child, in a process group of its own; this process is its guard from now on, and ends with its status.

    To be called before there is a second thread.
    """
    source, sink = os.pipe()
    guard = os.getpid()
    keeper = os.fork()
    if keeper:
        os.close(sink)
        os._exit(_watch(keeper, source))
    os.close(source)
    os.setpgid(0, 0)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != guard:  # it died before that
        os._exit(1)
    return Pulse(sink)


def _watch(keeper: int, source: int) -> int:
    """Wait for the keeper's end, or bring it about; return its exit status."""
    for number in ENDING:
        signal.signal(number, lambda came, _: os.kill(keeper, came))
    nothing = os.open(os.devnull, os.O_RDWR)
    for theirs in (0, 1):  # the keeper's alone: whoever reads there shall see its end
        os.dup2(nothing, theirs)
    end = time.monotonic() + START_SECONDS
    while select.select([source], [], [], max(0.0, end - time.monotonic()))[0]:
        promises = os.read(source, 1 << 16)
        if not promises:
            break
        (seconds,) = _PROMISE.unpack(promises[-_PROMISE.size :])
        end = time.monotonic() + seconds
    else:
        os.kill(keeper, signal.SIGKILL)
    os.waitid(os.P_PID, keeper, os.WEXITED | os.WNOWAIT)
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)  # before the keeper's number is free
    status = os.waitstatus_to_exitcode(os.waitpid(keeper, 0)[1])
    return status if status >= 0 else _KILLED - status
