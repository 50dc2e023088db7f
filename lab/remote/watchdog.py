"""The peer's parent: it kills a peer whose loop hangs, or that somebody stopped.

A process that is stopped (SIGSTOP) notices no end of its input and no silence, and its QEMUs would stay with it. The
watchdog does nothing but listen: the peer's loop promises it, again and again, to be heard of within so many seconds.
If the watchdog is killed the peer dies with it. If only the watchdog is stopped, the peer ends as ever.
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
ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)  # the watchdog passes these on
_PROMISE = struct.Struct("<d")
_PR_SET_PDEATHSIG = 1
_KILLED = 128  # what a shell adds to the number of the signal


class Heartbeat:
    """The peer's way to its watchdog."""

    def __init__(self, sink: int) -> None:
        """`sink` is a pipe."""
        os.set_blocking(sink, False)
        self._sink = sink

    def promise(self, seconds: float) -> None:
        """Say that the next promise comes within so many seconds, or the end does."""
        with contextlib.suppress(OSError):  # the watchdog is stopped; or dying, and so are we
            os.write(self._sink, _PROMISE.pack(seconds))


def under_watchdog() -> Heartbeat:
    """Go on in a child, in a process group of its own; this process is its watchdog, and ends with its status.

    To be called before there is a second thread.
    """
    source, sink = os.pipe()
    watchdog = os.getpid()
    peer = os.fork()
    if peer:
        os.close(sink)
        os._exit(_watch(peer, source))
    os.close(source)
    os.setpgid(0, 0)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != watchdog:  # it died before that
        os._exit(1)
    return Heartbeat(sink)


def _watch(peer: int, source: int) -> int:
    """Wait for the peer's end, or bring it about; return its exit status."""
    for number in ENDING:
        signal.signal(number, lambda came, _: os.kill(peer, came))
    nothing = os.open(os.devnull, os.O_RDWR)
    for theirs in (0, 1):  # the peer's alone: whoever reads there shall see its end
        os.dup2(nothing, theirs)
    end = time.monotonic() + START_SECONDS
    while select.select([source], [], [], max(0.0, end - time.monotonic()))[0]:
        promises = os.read(source, 1 << 16)
        if not promises:
            break
        (seconds,) = _PROMISE.unpack(promises[-_PROMISE.size :])
        end = time.monotonic() + seconds
    else:
        os.write(2, b"the peer said nothing to its watchdog and was killed\n")
        os.kill(peer, signal.SIGKILL)
    os.waitid(os.P_PID, peer, os.WEXITED | os.WNOWAIT)
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)  # before the peer's number is free
    status = os.waitstatus_to_exitcode(os.waitpid(peer, 0)[1])
    return status if status >= 0 else _KILLED - status
