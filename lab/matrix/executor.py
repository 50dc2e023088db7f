"""Who does the work: a few threads, each of which waits for one process at a time.

A kernel's cells follow its build at once, before the next build: results come early, and one worker builds while
another one runs what is built.
"""

from __future__ import annotations

import contextlib
import itertools
import queue
import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path

from lab.affinity import pinned
from lab.matrix import work
from lab.matrix.cells import Cell
from lab.matrix.store import CellResult, ResultStore

_CELL, _BUILD = 0, 1  # the smaller one first
_LOOK_SECONDS = 0.2
Job = Callable[[int], None]  # with the number of the worker that does it
Tell = Callable[[CellResult], None]


class LocalExecutor:
    """Works through the open cells of a store with some workers, and tells of each result once it is written down."""

    def __init__(self, store: ResultStore, workers: int, tell: Tell) -> None:
        self.store = store
        self.tell = tell
        self.stop = threading.Event()
        self._workers = workers
        self._jobs: queue.PriorityQueue[tuple[int, int, Job]] = queue.PriorityQueue()
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._error: BaseException | None = None

    def work(self, cells: Sequence[Cell], missing: dict[str, str]) -> None:
        """Try the cells; `missing` says why there is no tree of some kernels.

        What is raised is the first error of this host, such as a full disk, or KeyboardInterrupt; by then all
        processes are gone, and what was written down before stays.
        """
        groups: dict[tuple[str, str], list[Cell]] = {}
        for cell in cells:
            if cell.kernel in missing:
                self._note(CellResult(cell=cell, outcome="impossible", reason=missing[cell.kernel]))
            else:
                groups.setdefault((cell.kernel, cell.variant), []).append(cell)
        for (kernel, variant), group in groups.items():
            self._put(_BUILD, partial(self._build, kernel, variant, group))
        # If nobody is left to wait for them they end with this process, and their children with them.
        threads = [threading.Thread(target=self._loop, args=(n,), daemon=True) for n in range(self._workers)]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                while thread.is_alive():
                    thread.join(_LOOK_SECONDS)
        finally:
            self.stop.set()
            for thread in threads:
                if thread.ident is not None:
                    thread.join()
        if self._error is not None:
            raise self._error

    @property
    def _folder(self) -> Path:
        return self.store.folder

    def _put(self, rank: int, job: Job) -> None:
        self._jobs.put((rank, next(self._numbers), job))

    def _loop(self, number: int) -> None:
        """Do one job after the other, until none is left that is waiting or under way."""
        while not self.stop.is_set() and self._jobs.unfinished_tasks:
            try:
                _, _, job = self._jobs.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                continue  # a build that is under way may bring more
            try:
                job(number)
            except work.Stopped:
                return
            except BaseException as error:  # noqa: BLE001 - goes to the thread that waits for us
                self._error = self._error or error
                self.stop.set()
            finally:
                self._jobs.task_done()

    def _build(self, kernel: str, variant: str, group: Sequence[Cell], _number: int) -> None:
        trouble = work.build(kernel, variant, self._folder, self.stop, self.store.plan.build_options)
        for cell in group:
            if trouble is None:
                self._put(_CELL, partial(self._attempt, cell))
            else:
                self._note(CellResult(cell=cell, outcome=trouble.outcome, reason=trouble.reason))

    def _attempt(self, cell: Cell, number: int) -> None:
        with pinned(number) if self._workers > 1 else nullcontext():
            self._note(work.attempt(cell, self._folder, self.store.plan, self.stop, self.store.plan.build_options))

    def _note(self, result: CellResult) -> None:
        with self._lock:
            self.store.add(result)
            with contextlib.suppress(OSError):  # nobody listens any more
                self.tell(result)
