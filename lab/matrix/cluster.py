"""Who does the work on a Dask cluster: another executor, which keeps the same store.

A kernel is built once in all, by the worker that gets that task, from a tree of its own or from ours. What it built
comes to this host's cache, and from here to each worker that says that it lacks it; workers that share a cache never
do. A cell is a task that Dask gives to somebody else if its worker dies; what it came to is written down here as
soon as it is known, with all that its run left.

Only so many tasks are under way as keep the workers busy: Dask's scheduler keeps all that it is given in its memory.
"""

from __future__ import annotations

import contextlib
import itertools
import queue
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import msgspec

from lab import build, source
from lab.build.era import era_of
from lab.cache import Cache
from lab.child import TERM_SECONDS
from lab.errors import HostError, LabError
from lab.journal import Journal
from lab.matrix import tasks
from lab.matrix.archive import Archive, pack, unpack
from lab.matrix.cells import Cell
from lab.matrix.executor import Tell
from lab.matrix.store import CellResult, MatrixPlan, ResultStore
from lab.matrix.work import KERNEL_CODES, Trouble
from lab.settings import Settings
from lab.version import KernelVersion

AHEAD = 2  # tasks under way for each that can run at once: who is done has the next one at hand
RETRIES = 3  # of a task that raised an error, which a scenario's failure is not; Dask itself counts dead workers
LARGEST_TREE = 256 << 20  # that is sent: all of 2000 have less than half of it
_LOOK_SECONDS = 0.2
_COUNT_SECONDS = 2.0
_PRIORITY = {"cell": 1, "build": 0}  # the larger one first


Then = Callable[[Any], None]


class Group:
    """The cells that one kernel serves; `key` names it in every cache as soon as it is built."""

    def __init__(self, kernel: str, variant: str) -> None:
        self.kernel = kernel
        self.variant = variant
        self.cells: list[Cell] = []
        self.key = ""


class ClusterExecutor:
    """Works through the open cells of a store on a cluster, and tells of each result once it is written down."""

    def __init__(self, store: ResultStore, client: Any, settings: Settings, tell: Tell) -> None:
        self.store = store
        self.tell = tell
        self._client = client
        self._address = client.scheduler.address
        self._settings = settings
        self._cache = Cache(settings.cache)
        self._order = tasks.Order(
            matrix=uuid.uuid4().hex,
            fingerprint=tasks.fingerprint(),
            cache=tasks.cache_identity(settings.cache),
            cc=store.plan.cc,
        )
        self._numbers = itertools.count()
        self._came: queue.SimpleQueue[tuple[Any, Then]] = queue.SimpleQueue()
        self._groups: deque[Group] = deque()
        self._ready: deque[tuple[Cell, Group]] = deque()
        self._flying: set[Any] = set()
        self._aside = 0
        self._room, self._counted = 1, float("-inf")
        self._archive_of = lru_cache(8)(lambda key: pack(self._cache.root / tasks.KERNELS / key))

    def work(self, cells: Sequence[Cell], missing: dict[str, str]) -> None:
        """Try the cells; `missing` says why there is no tree of some kernels.

        HostError: this host's trouble, or the scheduler has gone. UsageError: a worker has another kvmd-lab. However it
        ends, no worker is at any task of ours any more, and what was written down before stays.
        """
        groups: dict[tuple[str, str], Group] = {}
        for cell in cells:
            if cell.kernel in missing:
                self._note(CellResult(cell=cell, outcome="impossible", reason=missing[cell.kernel]))
                continue
            variant = era_of(KernelVersion(cell.kernel)).kernel_for(cell.variant)
            groups.setdefault((cell.kernel, variant), Group(cell.kernel, variant)).cells.append(cell)
        self._groups.extend(groups.values())
        try:
            while self._groups or self._ready or self._flying or self._aside:
                self._fill()
                self._take()
        finally:
            self._end()

    def _fill(self) -> None:
        """Give the workers what they have room for: cells first, so that results come early."""
        if time.monotonic() - self._counted > _COUNT_SECONDS:
            self._counted = time.monotonic()
            self._room = AHEAD * max(1, self._threads())
        while len(self._flying) + self._aside < self._room and (self._ready or self._groups):
            if self._ready:
                self._attempt(*self._ready.popleft())
            elif self._aside:
                return
            else:
                self._prepare(self._groups.popleft())

    def _take(self) -> None:
        """Wait for what comes, and hand on all that is there: many answers at once cost little more than one."""
        came: list[tuple[Any, Then]] = []
        with contextlib.suppress(queue.Empty):
            came.append(self._came.get(timeout=_LOOK_SECONDS))
            while True:
                came.append(self._came.get_nowait())
        answers = self._answers([future for future, _ in came if future is not None])
        for future, then in came:
            then(answers.get(future))

    def _answers(self, futures: list[Any]) -> dict[Any, Any]:
        """Return what came of tasks that ended: what they returned, or the error that they raised in the end."""
        self._flying.difference_update(futures)
        finished = [future for future in futures if future.status == "finished"]
        try:
            answers = dict(zip(finished, self._client.gather(finished), strict=True))
            answers |= {future: future.exception() for future in futures if future not in answers}
        except (OSError, TimeoutError, CancelledError) as error:
            raise self._gone() from error
        for answer in answers.values():
            if isinstance(answer, tasks.StrangerError):
                raise answer
            if isinstance(answer, ModuleNotFoundError):
                what = f"a worker cannot take our tasks: {answer}"
                raise tasks.StrangerError(what, hint="install the same kvmd-lab on every worker")
        return answers

    def _threads(self) -> int:
        """How many tasks can run at once; the way to find out whether the scheduler is still there, too."""
        if any(future.status == "lost" for future in self._flying):
            raise self._gone()
        try:
            return sum(self._client.nthreads().values())
        except (OSError, TimeoutError) as error:
            raise self._gone() from error

    def _prepare(self, group: Group) -> None:
        """Get a kernel's tree, and the kernel if it is in this host's cache."""

        def look() -> source.Tree:
            tree = source.obtain(group.kernel, settings=self._settings, journal=Journal())
            with contextlib.suppress(HostError):  # a compiler is for the workers to have
                cc = self._order.cc
                plan = build.Plan(tree=tree, variant=group.variant, ledger=self._settings.ledger, cc=cc)
                kernel = build.find(plan, self._settings)
                group.key = "" if kernel is None else kernel.key
            return tree

        def then(tree: source.Tree | Trouble) -> None:
            if isinstance(tree, Trouble):
                self._give_up(group, tree)
            elif group.key:
                self._ready.extend((cell, group) for cell in group.cells)
            else:
                self._build(group, tree, None)

        self._do_aside(look, then)

    def _build(self, group: Group, tree: source.Tree, sent: Archive | None) -> None:
        def then(answer: Any) -> None:
            if isinstance(answer, tasks.Lacks) and sent is None:
                self._do_aside(lambda: _packed(tree, self._cache.root), again)
            elif isinstance(answer, tasks.BuildOutcome):
                self._keep(group, answer)
            elif isinstance(answer, tasks.NotBuilt):
                unpack(answer.said, self.store.folder)
                self._give_up(group, answer.trouble)
            else:
                self._give_up(group, _trouble(answer))

        def again(archive: Archive | Trouble) -> None:
            if isinstance(archive, Trouble):
                self._give_up(group, archive)
            else:
                self._build(group, tree, archive)

        self._submit("build", then, tasks.build_kernel, group.kernel, group.variant, tree.digest, sent)

    def _keep(self, group: Group, built: tasks.BuildOutcome) -> None:
        unpack(built.said, self.store.folder)
        tasks.stored(built.key, built.kernel, self._cache.root)
        group.key = built.key
        self._ready.extend((cell, group) for cell in group.cells)

    def _give_up(self, group: Group, trouble: Trouble) -> None:
        for cell in group.cells:
            self._note(CellResult(cell=cell, outcome=trouble.outcome, reason=trouble.reason))

    def _attempt(self, cell: Cell, group: Group, sent: Archive | None = None) -> None:
        def then(answer: Any) -> None:
            if isinstance(answer, tasks.Done):
                unpack(answer.left, self.store.folder)
                self._note(answer.result)
            elif isinstance(answer, tasks.Lacks) and sent is None:
                self._attempt(cell, group, self._archive_of(group.key))
            else:
                trouble = _trouble(answer)
                self._note(CellResult(cell=cell, outcome=trouble.outcome, reason=trouble.reason))

        self._submit("cell", then, tasks.attempt, cell, _only(cell, self.store.plan), group.key, sent)

    def _submit(self, kind: str, then: Then, function: Callable[..., Any], *words: Any) -> None:
        """Let a worker call `function` with the order and `words`, and `then` be called here with what came of it.

        The scheduler keeps figures of each kind of task, by what its key begins with.
        """
        key = f"{kind}-{self._order.matrix}-{next(self._numbers)}"
        future = self._client.submit(
            function, self._order, *words, key=key, priority=_PRIORITY[kind], retries=RETRIES, pure=False
        )
        self._flying.add(future)
        future.add_done_callback(lambda done: self._came.put((done, then)))

    def _gone(self) -> HostError:
        """Without a scheduler nothing can be taken back; its workers see that by themselves, and end what they do."""
        self._flying.clear()
        what = f"the scheduler at {self._address} has gone, or forgot our tasks"
        return HostError(what, doing="waiting for results", hint=f"go on with --resume {self.store.folder}")

    def _do_aside(self, do: Callable[[], Any], then: Then) -> None:
        """Do what takes long in a thread, which ends with this process, and let `then` be called in ours."""
        self._aside += 1

        def run() -> None:
            try:
                answer = do()
            except LabError as error:
                answer = _trouble(error)
            except BaseException as error:  # noqa: BLE001 - goes to the thread that waits for us
                answer = error
            self._came.put((None, partial(landed, answer)))

        def landed(answer: Any, _: object) -> None:
            self._aside -= 1
            if isinstance(answer, BaseException):
                raise answer
            then(answer)

        threading.Thread(target=run, daemon=True).start()

    def _note(self, result: CellResult) -> None:
        self.store.add(result)
        with contextlib.suppress(OSError):  # nobody listens any more
            self.tell(result)

    def _end(self) -> None:
        """Take back what is under way, and wait until no worker is at it any more; who died is at nothing."""
        if not self._flying:
            return
        end, pause = time.monotonic() + 2 * TERM_SECONDS, threading.Event()
        with contextlib.suppress(OSError, TimeoutError):  # the scheduler has gone meanwhile
            self._client.cancel(list(self._flying))
            busy = partial(self._client.run, tasks.busy, self._order.matrix, on_error="ignore")
            while any(busy().values()) and time.monotonic() < end:
                pause.wait(_LOOK_SECONDS)


def _only(cell: Cell, plan: MatrixPlan) -> MatrixPlan:
    """Return what of a plan a cell depends on: a plan of millions of cells shall not travel with each."""
    return msgspec.structs.replace(plan, kernels=(cell.kernel,), scenarios=(cell.scenario,), seeds=(cell.seed,))


def _packed(tree: source.Tree, folder: Path) -> Archive:
    size = sum(path.lstat().st_size for path in tree.path.rglob("*"))
    if size > LARGEST_TREE:
        what = f"the tree of {tree.version} has {size >> 20} MiB, too much to be sent: each worker must have it"
        raise HostError(what, hint="KVMD_LAB_TREES, or the distribution's package, on each worker")
    return tasks.ship(tree, folder)


def _trouble(answer: Any) -> Trouble:
    """Return what to say of a task that came to nothing, however often it was tried."""
    if isinstance(answer, tasks.Lacks):
        return Trouble("error", f"{answer.worker} cannot keep what it was sent")
    if isinstance(answer, LabError):
        return Trouble("impossible" if answer.exit_code in KERNEL_CODES else "error", answer.what)
    if type(answer).__name__ == "KilledWorker":
        return Trouble("error", "every worker that took it died")
    return Trouble("error", f"{type(answer).__name__}: {answer}".partition("\n")[0])
