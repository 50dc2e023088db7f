"""A swap disk that fails: data comes back right, or with an error, never wrong."""

from __future__ import annotations

import contextlib
from collections import Counter

import pytest

from lab.machine.faults import failing
from lab.machine.machine import Machine
from lab.machine.pattern import PAGE_SIZE
from lab.machine.rpc import RefusedError
from lab.scenario.kvmd import Kvmd
from lab.scenario.pressure import apply_pressure, page_verdicts

SIZE = 4 << 20


def test_write_errors_on_the_swap_disk_lose_nothing(lab_machine: Machine, kvmd: Kvmd, seed: int) -> None:
    """Pages that could not be written stay in RAM and keep every word, a process's and kvmd's alike.

    The kernel takes a page away from its owner before it is written. In 2.3 a failed write left no trace: the page was
    freed like any other, and its owner read from the disk what was there before: a silent loss.
    """
    with kvmd.open() as vmd, vmd.alloc(SIZE) as region:
        region.fill(seed)
        # How often a driver tries before it gives a request up: in 2000 many times within milliseconds, until it has
        # reset the disk twice; today six times, half a second each.
        failures = 12 if lab_machine.spec.today else 64
        with failing(lab_machine, writes=True, times=failures):
            memory = lab_machine.agent.sysinfo()
            apply_pressure(lab_machine, seed, memory.freeram * memory.mem_unit + SIZE // 2 & -PAGE_SIZE)
        assert lab_machine.block_stats().swap.failed_writes == failures
        _transfer_fast_again(lab_machine)
        apply_pressure(lab_machine, seed)
        for _ in range(2):
            verdict = region.verify(seed)
            assert verdict.bad_words == 0, verdict
            apply_pressure(lab_machine, seed)


def test_read_errors_on_the_swap_disk_are_told_to_the_caller(lab_machine: Machine, seed: int) -> None:
    """A page that can't be read back is -EIO for whoever wants to map it; nobody gets to see other data in its place.

    In 2.3 a fault whose read fails maps the frame all the same, with whatever is in it. The slot on the disk is gone
    then; so kvmd remembers that the page is lost, and says so each time, until the region is freed. The worker is
    locked in memory: what it has on the disk itself would be lost as well.
    """
    kvmd = Kvmd(lab_machine.agent.spawn(locked=True))
    with kvmd.open() as vmd, vmd.alloc(SIZE) as region:
        region.fill(seed)
        apply_pressure(lab_machine, seed)
        with failing(lab_machine, reads=True), pytest.raises(RefusedError) as caught:
            region.verify(seed)
        assert caught.value.name == "EIO"
        assert lab_machine.block_stats().swap.failed_reads > 0
        _transfer_fast_again(lab_machine)
        pages = Counter(page_verdicts(region, seed))
        assert set(pages) <= {"right", "EIO"}, pages
        assert pages["EIO"] <= 16, pages  # what the one call that failed had asked for
        with vmd.alloc(SIZE) as other:
            other.fill(seed + 1)
            assert other.verify(seed + 1).bad_words == 0


def test_passing_errors_of_the_swap_disk_are_not_noticed(lab_machine: Machine, kvmd: Kvmd, seed: int) -> None:
    """A transfer that fails and succeeds when it is repeated costs time and nothing else."""
    with kvmd.open() as vmd, vmd.alloc(SIZE) as region:
        region.fill(seed)
        with failing(lab_machine, writes=True, times=3):
            apply_pressure(lab_machine, seed)
        with failing(lab_machine, reads=True, times=3):
            verdict = region.verify(seed)
        assert verdict.bad_words == 0, verdict
        counted = lab_machine.block_stats().swap
        assert (counted.failed_writes, counted.failed_reads) == (3, 3)


def _transfer_fast_again(machine: Machine) -> None:
    """After errors the driver of 2.3 moves sector by sector; have it use DMA again, as an administrator would."""
    with contextlib.suppress(RefusedError):
        machine.agent.write_file("/proc/ide/hdb/settings", b"using_dma:1")
