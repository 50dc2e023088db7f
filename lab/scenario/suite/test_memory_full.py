"""No swap at all, and memory runs out."""

from __future__ import annotations

from lab.machine.machine import Machine
from lab.scenario.kvmd import Kvmd
from lab.scenario.pressure import fill_until_refused

PIECE = 512 << 10
BYSTANDER = 1 << 20


def test_full_memory_is_an_error_and_swap_lets_it_go_on(lab_machine: Machine, kvmd: Kvmd, seed: int) -> None:
    """Without swap kvmd fills what RAM there is, then says -ENOMEM; with swap the same calls go on.

    Nothing of kvmd's can leave RAM, so whatever it takes is missing for the processes. Before it takes the last frames
    it must stop: the next process that touches a page would be killed for it.
    """
    agent = lab_machine.agent
    bystander = agent.spawn()
    address = bystander.mem_map(BYSTANDER)
    bystander.mem_fill(address, BYSTANDER, seed)
    agent.swapoff(lab_machine.spec.swap_device)
    assert agent.sysinfo().totalswap == 0
    free_before = agent.sysinfo().freeram
    everything = lab_machine.memory

    with kvmd.open() as vmd:
        filled, refusal = fill_until_refused(vmd, PIECE, everything, seed)
        assert refusal is not None
        assert refusal.name == "ENOMEM"
        assert len(filled) * PIECE >= everything // 8
        newcomer = agent.spawn()
        assert newcomer.mem_pressure(BYSTANDER // 2, seed).bad_words == 0
        assert bystander.mem_verify(address, BYSTANDER, seed).bad_words == 0
        lab_machine.check()

        lab_machine.swapon()
        more, refusal = fill_until_refused(vmd, PIECE, everything, seed + len(filled))
        assert refusal is None
        for number, region in enumerate([*filled, *more]):
            verdict = region.verify(seed + number)
            assert verdict.bad_words == 0, (number, verdict)

    assert agent.sysinfo().freeram > free_before // 2
    left = kvmd.stats()
    assert (left.attachments, left.regions, left.maps, left.mapped_pages) == (0, 0, 0, 0)
