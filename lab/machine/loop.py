"""One event loop for the whole process, in a thread of its own that lives as long as the process.

Everything that arrives from QEMU (QMP, console, agent, standard error, its end) arrives here, so that no two of them
race. QEMU is also started from here: "die with your parent" (PR_SET_PDEATHSIG) is tied to the *thread* that forked.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, wait
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")

CALL_SECONDS = 10.0
SLICE_SECONDS = 0.2  # of a wait: a signal that comes just before one is only seen after it


class Loop:
    """The thread and its event loop; use `loop()` to get the one of this process."""

    def __init__(self) -> None:
        self.events = asyncio.new_event_loop()
        threading.Thread(target=self.events.run_forever, name="kvmd-lab-loop", daemon=True).start()

    def run(self, work: Coroutine[Any, Any, T], seconds: float) -> T:
        """Run a coroutine on the loop and return its value; TimeoutError after `seconds`, which also cancels it."""
        return asyncio.run_coroutine_threadsafe(asyncio.wait_for(work, seconds), self.events).result()

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start a task that nobody waits for yet; whoever starts it keeps it."""

        async def begin() -> asyncio.Task[T]:
            return asyncio.create_task(work)

        return self.run(begin(), CALL_SECONDS)

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call a plain function in the loop's thread and return its value."""

        async def work() -> T:
            return function(*arguments)

        return self.run(work(), CALL_SECONDS)


def outcome(future: Future[T], seconds: float) -> T:
    """Return what a future brings, or raise it; TimeoutError after `seconds`. Signals are heard meanwhile."""
    end = time.monotonic() + seconds
    while not future.done() and time.monotonic() < end:
        wait([future], SLICE_SECONDS)
    return future.result(0)


@cache
def loop() -> Loop:
    """Return the process's loop, started on first use."""
    return Loop()
