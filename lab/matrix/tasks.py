"""What a worker of a cluster does: it builds a kernel, and runs a cell's scenario with a kernel that is built.

Each is a task of Dask, and each does its work in a process of its own, as on a single machine. That process is killed
by the host's kernel when its worker dies, and takes its QEMU along. A task that nobody wants any more ends by itself:
Dask cannot interrupt one, so it looks every now and then at what its worker knows of it.
"""

from __future__ import annotations

import functools
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

import lab
from lab import build, port, resources, source
from lab.affinity import pinned
from lab.cache import Cache, digest, file_digest, folder_digest
from lab.errors import LabError, UsageError
from lab.journal import Journal
from lab.matrix import work
from lab.matrix.archive import Archive, check, pack, sealed, unpack
from lab.matrix.cells import Cell
from lab.matrix.store import CellResult, MatrixPlan
from lab.settings import Settings
from lab.source.packing import packed

KERNELS, SHIPPED = "kernels", "shipped"
_TARBALL = "linux.tar.gz"
_busy: Counter[str] = Counter()
_busy_lock = threading.Lock()


class StrangerError(UsageError):
    """A worker has another kvmd-lab than whoever sends it tasks."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks: its matrix, the fingerprint of its kvmd-lab, its cache, and the compiler that it wants."""

    matrix: str
    fingerprint: str
    cache: str
    cc: str | None = None


class Lacks(msgspec.Struct, frozen=True):
    """The worker has no such tree, or no such kernel: it must be sent along."""

    worker: str


class BuildOutcome(msgspec.Struct, frozen=True):
    """A kernel's key; the kernel itself unless whoever asked has the same cache; and what the build said."""

    key: str
    kernel: Archive | None
    said: Archive


class NotBuilt(msgspec.Struct, frozen=True):
    """Why there is no kernel, and what the build said."""

    trouble: work.Trouble
    said: Archive


class Done(msgspec.Struct, frozen=True):
    """A cell's result, and what its run left."""

    result: CellResult
    left: Archive


class Unwanted:
    """Whether somebody still waits for the task that this thread runs; it is what an Event is to a local executor."""

    def __init__(self) -> None:
        from distributed import get_worker

        self._worker: Any = get_worker()
        self._key = self._worker.get_current_task()

    def is_set(self) -> bool:
        """Whether it is to end: it was cancelled, whoever asked has gone, or its worker is about to close."""
        task = self._worker.state.tasks.get(self._key)
        wanted = task is not None and task.state in ("executing", "long-running")
        return not wanted or self._worker.status.name in ("closing", "closed", "failed")


@functools.cache
def fingerprint() -> str:
    """Return a digest over all of kvmd-lab that a result depends on, and over the ledger that is set here."""
    own = Path(lab.__file__).parent
    parts = [file_digest(path) for path in sorted(own.glob("*.py"))]
    parts += [folder_digest(path) for path in sorted(own.iterdir()) if path.is_dir() and path.name != "data"]
    ledger = Settings.from_environment().ledger
    records = port.own_ledger() if ledger is None else port.load(ledger)
    return digest(*parts, folder_digest(resources.folder("images")), records.digest)


def cache_identity(root: Path) -> str:
    """Return what two processes on one host have in common if they share a cache; never that of another host."""
    root.mkdir(parents=True, exist_ok=True)
    status, boot = root.stat(), Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"{boot} {status.st_dev} {status.st_ino}"


def dask_setup(_worker: object) -> None:
    """Ignore Ctrl-C in a worker that Dask starts with this module preloaded: whoever started it ends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def busy(matrix: str) -> int:
    """Return how many tasks of a matrix this worker is at."""
    return _busy[matrix]


def build_kernel(order: Order, kernel: str, variant: str, tree_digest: str, sent: Archive | None) -> Any:
    """Build a kernel into this worker's cache, from a tree that is here or was sent: BuildOutcome, NotBuilt, Lacks."""
    settings = Settings.from_environment()
    with _at_work(order) as (stop, folder):
        found = _tree(kernel, tree_digest, sent, settings)
        if found is None:
            return Lacks(_name())
        tree, options = found
        plan = build.Plan(tree=tree, variant=variant, ledger=settings.ledger, cc=order.cc)
        made = build.find(plan, settings)
        if made is None:
            chosen = [] if order.cc is None else [f"--cc={order.cc}"]
            trouble = work.build(kernel, variant, folder, stop, [*options, *chosen])
            if trouble is not None:
                return NotBuilt(trouble, pack(folder))
            made = build.find(plan, settings)
            if made is None:
                trouble = work.Trouble("error", f"{_name()} built another kernel than it was asked for")
                return NotBuilt(trouble, pack(folder))
        same = order.cache == cache_identity(settings.cache)
        return BuildOutcome(made.key, None if same else pack(made.manifest.parent), pack(folder))


def attempt(order: Order, cell: Cell, plan: MatrixPlan, key: str, sent: Archive | None) -> Done | Lacks:
    """Run a cell's scenario with a kernel that is in this worker's cache, or was sent."""
    with _at_work(order) as (stop, folder):
        kernel = stored(key, sent, Settings.from_environment().cache)
        if kernel is None:
            return Lacks(_name())
        with _on_a_core():
            result = work.attempt(cell, folder, plan, stop, [f"--built={kernel}"])
        return Done(result, pack(folder))


def stored(key: str, sent: Archive | None, cache: Path) -> Path | None:
    """Return a kernel's folder in a cache, unpacked into it if it was sent; None: it is not there."""
    store = Cache(cache)
    if sent is None:
        return store.find(KERNELS, key)
    return store.entry(KERNELS, key, lambda folder: unpack(sent, folder))


def _tree(kernel: str, wanted: str, sent: Archive | None, settings: Settings) -> tuple[source.Tree, list[str]] | None:
    """Return the tree with the digest that is wanted, and what tells `kvmd-lab build` where it is."""
    store = Cache(settings.cache)
    if sent is not None:
        store.entry(SHIPPED, wanted, _keeper(sent))
    shipped = store.find(SHIPPED, wanted)
    places: list[Path | None] = [None] if shipped is None else [shipped / _TARBALL, None]
    for place in places:
        with suppress(LabError):  # not here, or damaged: another one will be sent
            if place is None and source.locate(kernel, settings) == "download":
                continue
            called = None if place is None or source.is_series(kernel) else kernel
            tree = source.obtain(kernel, tree=place, called=called, settings=settings, journal=Journal())
            if tree.digest == wanted:
                named = [] if called is None else [f"--as={called}"]
                return tree, [] if place is None else [f"--tree={place}", *named]
    return None


def _keeper(sent: Archive) -> Callable[[Path], None]:
    def keep(folder: Path) -> None:
        check(sent)
        (folder / _TARBALL).write_bytes(sent.data)

    return keep


def ship(tree: source.Tree, folder: Path) -> Archive:
    """Pack a tree; `folder` has room for it meanwhile."""
    with packed(tree, folder) as tarball:
        return sealed(tarball.read())


@contextmanager
def _at_work(order: Order) -> Iterator[tuple[Unwanted, Path]]:
    """Give what ends a task, and a folder; of a worker that is killed Dask removes the folder when the next starts."""
    if order.fingerprint != fingerprint():
        raise StrangerError(f"{_name()} has another kvmd-lab, or another ledger", hint="the same one everywhere")
    stop = Unwanted()
    with _busy_lock:
        _busy[order.matrix] += 1
    try:
        with TemporaryDirectory(dir=_worker().local_directory, prefix="kvmd-lab-", ignore_cleanup_errors=True) as name:
            yield stop, Path(name)
    finally:
        with _busy_lock:
            _busy[order.matrix] -= 1


def _on_a_core() -> AbstractContextManager[None]:
    """Keep what this thread starts on one core, if all workers of this host are numbered, as --dask local does."""
    number = _worker().name
    return pinned(number) if isinstance(number, int) else nullcontext()


def _worker() -> Any:
    from distributed import get_worker

    return get_worker()


def _name() -> str:
    return f"the worker {os.uname().nodename} {_worker().address}"
