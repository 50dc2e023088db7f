"""Figures about the lab itself, measured in one run: medians, so that one slow moment of the host does not count."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from lab import port
from lab.build import build
from lab.build.config import configure, parse
from lab.build.era import era_of
from lab.build.make import depend, make
from lab.build.toolchain import toolchain
from lab.errors import UsageError
from lab.journal import Journal
from lab.machine import protocol
from lab.machine.agent import MEMORY_SECONDS, Worker
from lab.machine.machine import Machine
from lab.scenario.kvmd import Kvmd
from lab.scenario.workbench import Workbench

ROUNDS = 20
COLD_ROUNDS = 10  # half a minute each
PINGS = 2000
CALLS = 500
COST_ROUNDS = 5  # all but equal
PAGE = 4096
Tell = Callable[[str], None]


class Figure(msgspec.Struct, frozen=True):
    """One figure: the median of `rounds` measurements, the limit that the lab sets itself, and the unit of both."""

    name: str
    median: float
    limit: float | None
    unit: str
    rounds: int
    worst: float

    @property
    def kept(self) -> bool:
        """Whether the limit is kept."""
        return self.limit is None or self.median <= self.limit


def _figure(name: str, values: Sequence[float], limit: float | None, unit: str = "s") -> Figure:
    return Figure(name, statistics.median(values), limit, unit, len(values), max(values))


@contextmanager
def _clock(values: list[float]) -> Iterator[None]:
    begin = time.monotonic()
    yield
    values.append(time.monotonic() - begin)


class _Bench:
    def __init__(self, bench: Workbench, size: Mapping[str, int]) -> None:
        self.bench = bench
        self.spec = bench.spec(**size)
        self.variant = "smp" if self.spec.cpus > 1 else "up"

    def build_cold(self) -> Iterator[Figure]:
        """A build with nothing in the cache but the tree, against make alone in a tree that was ported before.

        The two take turns at being first. Nothing is removed before the end: ext4 does not like to give the numbers of
        files just removed to new ones, and searches for others in the next build's time.
        """
        self.bench.tree()
        config = self.bench.kernel(self.variant).config.read_text()
        bare: list[float] = []
        whole: list[float] = []
        with TemporaryDirectory(prefix="kvmd-lab-bench-", dir=self._scratch()) as folder:
            for turn in range(COLD_ROUNDS):
                mine = Path(folder) / str(turn)
                mine.mkdir()
                if turn % 2:
                    self._cold(mine, whole)
                self._bare_make(mine, config, bare)
                if not turn % 2:
                    self._cold(mine, whole)
        yield _figure("build, cold", whole, None)
        yield _figure("bare make of the same tree", bare, None)
        yield _figure("build, cold, against bare make", _ratios(whole, bare), 1.1, "times")

    def _bare_make(self, folder: Path, config: str, values: list[float]) -> None:
        bench, work, log = self.bench, folder / "bare", folder / "bare.log"
        tools = toolchain(bench.subject.cc or bench.settings.cc, era_of(bench.tree().version).flags)
        port.port(bench.tree(), work, port.own_ledger().meant_for(bench.tree().version), (), Journal())
        configure(work, parse(config), Journal(), log)
        os.sync()
        with _clock(values):
            # make bzImage would do it by itself, but at the same time as it compiles, and read what is not yet written
            depend(work, tools, bench.settings.jobs, Journal(), log)
            make(work, tools, bench.settings.jobs, Journal(), log)

    def _cold(self, folder: Path, values: list[float]) -> None:
        settings = msgspec.structs.replace(self.bench.settings, cache=folder / "cache")
        os.sync()
        with _clock(values):
            build(self.bench.plan(self.variant), settings, Journal())

    def _scratch(self) -> Path:
        self.bench.settings.cache.mkdir(parents=True, exist_ok=True)
        return self.bench.settings.cache

    def build_warm(self) -> Iterator[Figure]:
        """The same build again: nothing has changed."""
        values: list[float] = []
        self.bench.kernel(self.variant)
        for _ in range(ROUNDS):
            fresh = Workbench(self.bench.subject, self.bench.settings, Journal())
            with _clock(values):
                fresh.kernel(self.variant)
        yield _figure("build, nothing changed", values, 0.5)

    def boot(self) -> Iterator[Figure]:
        """Cold boots to a ready agent."""
        values: list[float] = []
        setup = self.bench.setup(self.spec)
        for _ in range(ROUNDS):
            begin = time.monotonic()
            with Machine.boot(**setup):
                values.append(time.monotonic() - begin)
        yield _figure("cold boot to a ready agent", values, 0.8)

    def restore(self) -> Iterator[Figure]:
        """Restores, in place and in new processes."""
        setup = self.bench.setup(self.spec)
        fresh: list[float] = []
        placed: list[float] = []
        with Machine.restored(**setup) as machine:
            for _ in range(ROUNDS):
                with _clock(placed):
                    machine.restore()
        for _ in range(ROUNDS):
            begin = time.monotonic()
            with Machine.restored(**setup):
                fresh.append(time.monotonic() - begin)
        yield _figure("restore to ready, in place", [1e3 * value for value in placed], 25, "ms")
        yield _figure("restore to ready, new process", [1e3 * value for value in fresh], 120, "ms")

    def round_trip(self) -> Iterator[Figure]:
        """Round trips to the agent, while the guest idles and while it swaps."""
        machine = self.bench.machine(self.spec)
        machine.swapon()
        yield from _quantiles("agent round trip", self._pings(machine, lambda: False))
        pressed = machine.agent.spawn()
        size = 2 * self.spec.ram_mib << 20
        under_way = pressed.submit(protocol.Op.MEM_PRESSURE, protocol.TRIPLE.pack(size, 1, 8))
        values = self._pings(machine, lambda: under_way.done)
        machine.agent.kill(pressed.task)
        yield from _quantiles("agent round trip while the guest swaps", values)

    @staticmethod
    def _pings(machine: Machine, over: Callable[[], bool]) -> list[float]:
        values: list[float] = []
        while len(values) < PINGS and not over():
            with _clock(values):
                machine.agent.ping()
        return [1e3 * value for value in values]

    def cost(self) -> Iterator[Figure]:
        """What calls of kvmd cost the guest, in its instructions, against what a user process pays."""
        machine = self.bench.machine(self.spec)
        worker = machine.agent.spawn()
        with Kvmd(worker).open() as vmd, vmd.alloc(PAGE) as region:
            region.map().unmap()  # the page is in RAM from now on
            place = (vmd.handle, region.address)
            values = {
                what: [self._instructions(worker, what, *place) for _ in range(COST_ROUNDS)]
                for what in (protocol.COST_FAULT, protocol.COST_PIPE, protocol.COST_MAP, protocol.COST_COMMAND)
            }
        fault, pipe, maps, command = values.values()
        halves = [pair / 2 for pair in command]  # a round is two commands
        yield _figure("fault of an anonymous page", fault, None, "instr")
        yield _figure("kvmd_map + kvmd_unmap of a resident page", maps, None, "instr")
        yield _figure("the same, against the fault", _ratios(maps, fault), 1.5, "times")
        yield _figure("round trip through two pipes", pipe, None, "instr")
        yield _figure("a command of kvmd", halves, None, "instr")
        yield _figure("the same, against the pipes", _ratios(halves, pipe), 1.5, "times")

    def _instructions(self, worker: Worker, what: int, handle: int, address: int) -> float:
        """Return the instructions of one call, counted by virtual time."""
        if self.spec.icount_shift is None:
            raise UsageError("instructions are counted by virtual time", hint="give the machine an icount shift")
        request = protocol.COST.pack(what, CALLS, handle, address)
        ticks = int.from_bytes(worker.request(protocol.Op.COST, request, MEMORY_SECONDS)[:8], "little")
        return ticks / CALLS / (1 << self.spec.icount_shift)

    def regions(self) -> Iterator[Figure]:
        """The scenario kvmd_regions, after restore, each time with another seed."""
        from lab.scenario.suite.test_kvmd_regions import test_kvmd_regions

        values: list[float] = []
        for seed in range(ROUNDS):
            machine = self.bench.machine(self.spec)
            machine.swapon()
            with _clock(values):
                test_kvmd_regions(machine, Kvmd(machine.agent.spawn()), seed)
        yield _figure("scenario kvmd_regions", values, 1.5)


def _ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    return [mine / other for mine, other in zip(ours, theirs, strict=True)]


def _quantiles(name: str, values: list[float]) -> Iterator[Figure]:
    cuts = statistics.quantiles(values, n=100)
    yield Figure(f"{name}, median", statistics.median(values), 1.0, "ms", len(values), max(values))
    yield Figure(f"{name}, 99th percentile", cuts[98], 5.0, "ms", len(values), max(values))


_QUICK = (_Bench.build_warm, _Bench.boot, _Bench.restore, _Bench.round_trip, _Bench.cost, _Bench.regions)
_GROUPS = {group.__name__: group for group in (*_QUICK, _Bench.build_cold)}
GROUPS = tuple(_GROUPS)


def measure(bench: Workbench, size: Mapping[str, int], only: Sequence[str], tell: Tell) -> list[Figure]:
    """Measure all figures, or those whose group is named in `only`: build_cold, build_warm, boot, ...

    `size` has the dimensions of the machine that were asked for; the others suit the kernel.
    UsageError: there is no such group; nothing has been measured then.
    """
    unknown = sorted(set(only) - set(_GROUPS))
    if unknown:
        raise UsageError(f"there are no figures {', '.join(unknown)}", hint=f"--figure takes {', '.join(_GROUPS)}")
    found = _Bench(bench, size)
    figures = []
    for name in only or _GROUPS:
        tell(f"measuring {name} ...")
        figures += list(_GROUPS[name](found))
    return figures


def table(figures: Sequence[Figure]) -> str:
    """Lay the figures out as text: name, median, limit, verdict."""
    lines = [f"{'figure':<52} {'median':>9} {'worst':>9} {'limit':>7}  unit   rounds"]
    for figure in figures:
        limit = "" if figure.limit is None else f"{figure.limit:g}"
        verdict = "" if figure.kept else "  MISSED"
        lines.append(
            f"{figure.name:<52} {figure.median:>9.3f} {figure.worst:>9.3f} {limit:>7}  {figure.unit:<6}"
            f" {figure.rounds}{verdict}"
        )
    return "\n".join(lines)
