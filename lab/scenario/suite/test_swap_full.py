"""No slot is left in swap: whoever asks gets an error, and nobody else notices."""

from __future__ import annotations

import pytest

from lab.machine.introspection import introspect
from lab.machine.machine import Machine
from lab.machine.pattern import PAGE_SIZE
from lab.scenario.kvmd import Kvmd
from lab.scenario.pressure import fill_until_refused

PIECE = 2 << 20
BYSTANDER = 1 << 20


@pytest.mark.machine(swap_mib=16)
def test_full_swap_is_an_error_for_the_caller_alone(lab_machine: Machine, kvmd: Kvmd, seed: int) -> None:
    """When RAM and swap are full kvmd_map says -ENOMEM; no process dies, all data is right, and all is given back.

    A page fault that finds no frame has but one answer in 2.3: the process is killed, whoever it is. So kvmd must
    stop before the last frame, and must undo what the failed call had got so far.
    """
    bystander = lab_machine.agent.spawn()
    address = bystander.mem_map(BYSTANDER)
    bystander.mem_fill(address, BYSTANDER, seed)
    before = lab_machine.agent.sysinfo()
    with introspect(lab_machine) as seen:
        slots_before = seen.slots_held()
    everything = lab_machine.memory + (lab_machine.spec.swap_mib << 20)

    with kvmd.open() as vmd:
        filled, refusal = fill_until_refused(vmd, PIECE, everything, seed)
        assert refusal is not None
        assert refusal.name == "ENOMEM"
        assert len(filled) * PIECE >= lab_machine.spec.swap_mib << 20
        assert bystander.mem_verify(address, BYSTANDER, seed).bad_words == 0
        for number, region in enumerate(filled):
            verdict = region.verify(seed + number)
            assert verdict.bad_words == 0, (number, verdict)
        assert kvmd.stats().maps == 0

    after = lab_machine.agent.sysinfo()
    assert after.freeram > before.freeram // 2
    with introspect(lab_machine) as seen:
        moved_out = seen.slots_held() - slots_before  # what belongs to processes stays there
    assert moved_out * PAGE_SIZE <= 2 * BYSTANDER
    assert bystander.mem_verify(address, BYSTANDER, seed).bad_words == 0
    with kvmd.open() as vmd, vmd.alloc(PIECE) as region:
        region.fill(seed)
        assert region.verify(seed).bad_words == 0
