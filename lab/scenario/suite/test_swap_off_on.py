"""Swap is switched off and on while kvmd has its memory there."""

from __future__ import annotations

import pytest

from lab.machine.machine import Machine
from lab.machine.rpc import RefusedError
from lab.scenario.kvmd import Kvmd
from lab.scenario.pressure import apply_pressure, fill_until_refused

PAGE = 4096


def test_swap_off_and_on_keeps_every_word(lab_machine: Machine, kvmd: Kvmd, seed: int) -> None:
    """Switching swap off brings all of it back into RAM; a page that a driver holds stays in its frame all the time.

    To empty a swap disk the kernel of 2.3 goes through the page tables of each process on its list for whoever has
    this slot. A thread that is not on the list, or whose address space is a borrowed one, would keep an entry that
    leads nowhere.
    """
    size = lab_machine.memory // 4  # a quarter: it must fit into RAM
    device = lab_machine.spec.swap_device
    with kvmd.open() as vmd, vmd.alloc(size) as region:
        region.fill(seed)
        apply_pressure(lab_machine, seed)
        with region.map(offset=8 * PAGE, size=4 * PAGE) as held:
            _, frame = held.peek(PAGE)
            for turn in range(2):
                apply_pressure(lab_machine, seed + turn)
                assert held.poke(PAGE, turn) == frame
                lab_machine.agent.swapoff(device)
                assert held.peek(PAGE) == (turn, frame)
                lab_machine.swapon()
            word = held.peek(PAGE + 4)[0]
        apply_pressure(lab_machine, seed)
        verdict = region.verify(seed)
        assert (verdict.bad_words, verdict.found) == (1, 1), verdict  # the word that was poked, and no other
        with region.map(offset=9 * PAGE, size=PAGE) as again:
            assert again.peek(4)[0] == word


@pytest.mark.kernels("<2.5", reason="today the OOM killer ends whoever switches swap off that does not fit")
def test_swap_that_does_not_fit_into_memory_stays_on(lab_machine: Machine, kvmd: Kvmd, seed: int) -> None:
    """Switching swap off is refused when RAM can't take what is in swap, and all of it is still there afterwards."""
    with kvmd.open() as vmd:
        filled, refusal = fill_until_refused(vmd, 4 << 20, lab_machine.memory * 3 // 2, seed)
        assert refusal is None
        with pytest.raises(RefusedError) as caught:
            lab_machine.agent.swapoff(lab_machine.spec.swap_device)
        assert caught.value.name == "ENOMEM"
        for number, region in enumerate(filled):
            verdict = region.verify(seed + number)
            assert verdict.bad_words == 0, (number, verdict)
