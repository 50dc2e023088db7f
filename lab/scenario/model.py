"""A model of kvmd in Python, and hypothesis that plays a random game on it and on the kernel at the same time.

The model knows what each word of each region must be. Every call is made in the guest and in the model; what the guest
answers must be what the model says. Between the calls other processes take all memory, or time passes. Hypothesis
draws the game from a seed; when the two disagree it looks for the shortest game that shows it, each from the
restored snapshot, and prints that.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st
from hypothesis.internal.conjecture import engine
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from lab.errors import InfraError
from lab.machine import pattern
from lab.machine.introspection import introspect
from lab.machine.kvmdctl import Command
from lab.machine.machine import Machine
from lab.machine.pattern import PAGE_SIZE
from lab.scenario.acts import idle, left_over, refusal
from lab.scenario.kvmd import CHANGE, DEDICATED, LOOK, WINDOW, Attachment, Kvmd, Map, Region
from lab.scenario.pressure import apply_pressure

MOST_PAGES = 128  # of a region
MOST_MAPPED = 256  # by all maps together: far below the limit, which has a scenario of its own
SHRINK_SECONDS = 60.0

pick = st.integers(0, 63)  # an index into whatever there is now


class Aborted(BaseException):
    """The host's or QEMU's own trouble: no `Exception`, since hypothesis would play the game again to see it again."""

    def __init__(self, error: InfraError) -> None:
        super().__init__(str(error))
        self.error = error


@contextmanager
def _of_the_host() -> Iterator[None]:
    try:
        yield
    except InfraError as error:
        raise Aborted(error) from error


class RegionModel:
    """A region and what must be in it: for each page the seed of its pattern (None: zeros), and single words."""

    def __init__(self, region: Region) -> None:
        self.region = region
        self.seeds: list[int | None] = [None] * (region.size // PAGE_SIZE)
        self.words: dict[int, int] = {}
        self.maps: list[MapModel] = []

    def fill(self, seed: int) -> None:
        """Fill all of it."""
        self.region.fill(seed)
        self.seeds = [seed] * len(self.seeds)
        self.words = {}

    def word(self, offset: int) -> int:
        """Return what must be at a byte offset."""
        page, byte = divmod(offset, PAGE_SIZE)
        seed = self.seeds[page]
        return self.words.get(offset, 0 if seed is None else pattern.word(seed, page, byte // 4))

    def check(self) -> None:
        """Compare all that was filled, a stretch of pages with the same seed at a time, and one word of the others."""
        page = 0
        while page < len(self.seeds):
            end = next((at for at in range(page, len(self.seeds)) if self.seeds[at] != self.seeds[page]), None)
            end = len(self.seeds) if end is None else end
            if self.seeds[page] is None:
                self._check_words(page, end)
            else:
                self._check_pattern(page, end)
            page = end

    def _check_pattern(self, page: int, end: int) -> None:
        begin, size = page * PAGE_SIZE, (end - page) * PAGE_SIZE
        owner, seed = self.region.owner, self.seeds[page]
        assert seed is not None
        answer = owner.kvmd.ioctl(Command.VERIFY, owner.handle, self.region.address + begin, size, WINDOW, seed, page)
        changed = [at for at in self.words if begin <= at < begin + size and self.words[at] != self._plain(at)]
        assert answer[6] == len(changed), f"{answer[6]} words are not the pattern's, {len(changed)} should be"
        for offset in changed[:4]:
            self._check_word(offset)

    def _plain(self, offset: int) -> int:
        page, byte = divmod(offset, PAGE_SIZE)
        seed = self.seeds[page]
        return 0 if seed is None else pattern.word(seed, page, byte // 4)

    def _check_words(self, page: int, end: int) -> None:
        for offset in [at for at in self.words if page <= at // PAGE_SIZE < end][:4]:
            self._check_word(offset)
        self._check_word((end - 1) * PAGE_SIZE)

    def _check_word(self, offset: int) -> None:
        with self.region.map(LOOK, offset & -PAGE_SIZE, PAGE_SIZE) as seen:
            assert seen.peek(offset % PAGE_SIZE)[0] == self.word(offset), f"the word at {offset:#x}"


class MapModel:
    """A map, the byte offset of its beginning in the region, and the frames it must keep."""

    def __init__(self, held: Map, of: RegionModel, offset: int, size: int) -> None:
        self.held = held
        self.of = of
        self.offset = offset
        self.pages = size // PAGE_SIZE
        self.frames = [held.peek(page * PAGE_SIZE)[1] for page in range(self.pages)]


class Game(RuleBasedStateMachine):
    """The rules. `machine` and `idle_seconds` are set by `play`."""

    machine: Machine
    idle_seconds: float

    @initialize()
    def begin(self) -> None:
        """Start from the snapshot, with swap on and nothing attached."""
        with _of_the_host():
            self.machine.restore()
            self.machine.swapon()
        self.kvmd = Kvmd(self.machine.agent.spawn(locked=True))
        self.threads = self.kvmd.stats().threads
        self.attachments: list[Attachment] = []
        self.regions: list[RegionModel] = []
        self.quiet = 0  # calls since memory was last under pressure

    @property
    def maps(self) -> list[MapModel]:
        """All maps that there are."""
        return [held for model in self.regions for held in model.maps]

    @precondition(lambda self: len(self.attachments) < 4)
    @rule(own=st.booleans())
    def open(self, own: bool) -> None:
        """Attach."""
        self.attachments.append(self.kvmd.open(DEDICATED if own else 0))

    @precondition(lambda self: len(self.attachments) > 1)
    @rule(which=pick)
    def close(self, which: int) -> None:
        """Detach, whatever is still allocated and mapped there."""
        gone = self.attachments.pop(which % len(self.attachments))
        gone.close()
        self.regions = [model for model in self.regions if model.region.owner is not gone]

    @precondition(lambda self: self.attachments and len(self.regions) < 8)
    @rule(which=pick, pages=st.integers(1, MOST_PAGES))
    def alloc(self, which: int, pages: int) -> None:
        """Allocate."""
        vmd = self.attachments[which % len(self.attachments)]
        self.regions.append(RegionModel(vmd.alloc(pages * PAGE_SIZE)))

    @precondition(lambda self: self.regions)
    @rule(which=pick)
    def free(self, which: int) -> None:
        """Free; a region with maps is refused."""
        model = self.regions[which % len(self.regions)]
        if model.maps:
            assert refusal(model.region.free) == "EBUSY"
        else:
            model.region.free()
            self.regions.remove(model)

    @precondition(lambda self: self.regions)
    @rule(which=pick, pages=st.integers(1, MOST_PAGES))
    def resize(self, which: int, pages: int) -> None:
        """Grow or shrink: what stays keeps its contents, what comes is zero."""
        model = self.regions[which % len(self.regions)]
        if not model.maps and pages != len(model.seeds):
            model.region.resize(pages * PAGE_SIZE)
            model.seeds = [*model.seeds[:pages], *[None] * (pages - len(model.seeds))]
            model.words = {at: word for at, word in model.words.items() if at < pages * PAGE_SIZE}

    @precondition(lambda self: self.regions)
    @rule(which=pick, seed=st.integers(1, 1 << 20))
    def fill(self, which: int, seed: int) -> None:
        """Fill a region, mapped or not."""
        self.regions[which % len(self.regions)].fill(seed)

    @precondition(lambda self: self.regions)
    @rule(which=pick, page=pick, pages=st.integers(1, 16), way=st.sampled_from([LOOK, CHANGE]))
    def map(self, which: int, page: int, pages: int, way: int) -> None:
        """Map some pages."""
        model = self.regions[which % len(self.regions)]
        first = page % len(model.seeds)
        size = min(pages, len(model.seeds) - first) * PAGE_SIZE
        if sum(held.pages for held in self.maps) + size // PAGE_SIZE <= MOST_MAPPED:
            held = model.region.map(way, first * PAGE_SIZE, size)
            model.maps.append(MapModel(held, model, first * PAGE_SIZE, size))

    @precondition(lambda self: self.maps)
    @rule(which=pick, page=pick, word=st.integers(0, 1023), value=st.integers(0, 0xFFFFFFFF))
    def poke(self, which: int, page: int, word: int, value: int) -> None:
        """Write a word as a driver would; the page must be where it was."""
        held = self.maps[which % len(self.maps)]
        offset = page % held.pages * PAGE_SIZE + word * 4
        assert held.held.poke(offset, value) == held.frames[page % held.pages]
        held.of.words[held.offset + offset] = value

    @precondition(lambda self: self.maps)
    @rule(which=pick, page=pick, word=st.integers(0, 1023))
    def peek(self, which: int, page: int, word: int) -> None:
        """Read a word as a driver would; the page must be where it was."""
        held = self.maps[which % len(self.maps)]
        offset = page % held.pages * PAGE_SIZE + word * 4
        expected = held.of.word(held.offset + offset), held.frames[page % held.pages]
        assert held.held.peek(offset) == expected

    @precondition(lambda self: self.maps)
    @rule(which=pick)
    def unmap(self, which: int) -> None:
        """Unmap."""
        held = self.maps[which % len(self.maps)]
        held.held.unmap()
        held.of.maps.remove(held)

    @precondition(lambda self: self.regions)
    @rule(which=pick)
    def verify(self, which: int) -> None:
        """Compare a region with the model."""
        self.regions[which % len(self.regions)].check()

    @precondition(lambda self: self.regions and self.quiet > 8)
    @rule(seed=pick)
    def pressure(self, seed: int) -> None:
        """Let a process take all memory."""
        apply_pressure(self.machine, seed, verify=False)
        self.quiet = 0

    @rule(seconds=st.sampled_from([1, 5]))
    def rest(self, seconds: int) -> None:
        """Let some time pass."""
        idle(self.machine.agent, seconds)

    @invariant()
    def counts_agree(self) -> None:
        """After each call: what kvmd says that there is, is what the model has."""
        self.quiet += 1
        now = self.kvmd.stats()
        found = (now.attachments, now.regions, now.maps, now.mapped_pages)
        mapped = sum(held.pages for held in self.maps)
        assert found == (len(self.attachments), len(self.regions), len(self.maps), mapped)
        assert now.region_bytes == sum(model.region.size for model in self.regions)

    def teardown(self) -> None:
        """Pressure and a long rest; then all must be as the model says, and after closing nothing must be left."""
        if not hasattr(self, "kvmd") or self.machine.state.name != "RUNNING":
            return
        apply_pressure(self.machine, 1, verify=False)
        idle(self.machine.agent, self.idle_seconds)
        for model in self.regions:
            model.check()
        for vmd in self.attachments:
            vmd.close()
        assert left_over(self.kvmd.stats()) == {}
        with _of_the_host(), introspect(self.machine) as seen:
            assert [server for server in seen.servers() if server.users or server.frames or server.slots] == []
        self.machine.check()


def play(machine: Machine, seed: int, *, games: int, calls: int, idle_seconds: float) -> None:
    """Play `games` games of at most `calls` calls each, drawn from `seed`; each rests `idle_seconds` near its end.

    InfraError: the host's trouble, such as a disk that brings the snapshot back too late; no game is played again.
    """
    rules: Any = type("Game", (Game,), {"machine": machine, "idle_seconds": idle_seconds})
    wanted = settings(
        max_examples=games,
        stateful_step_count=calls,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )
    with pytest.MonkeyPatch.context() as patch:
        # five minutes, and there is no setting for it: a constant of its own, which a test looks for
        patch.setattr(engine, "MAX_SHRINKING_SECONDS", SHRINK_SECONDS, raising=False)
        try:
            run_state_machine_as_test(seeded(seed)(rules), settings=wanted)
        except Aborted as broken:
            raise broken.error from None
