"""A thread of one's own is nobody else's, however crowded the pool is."""

from __future__ import annotations

from lab.machine.machine import Machine
from lab.machine.pattern import PAGE_SIZE
from lab.machine.rpc import RefusedError
from lab.scenario.acts import left_over
from lab.scenario.kvmd import DEDICATED, Kvmd
from lab.scenario.pressure import apply_pressure

SIZE = 8 * PAGE_SIZE


def test_thread_of_ones_own_is_handed_to_nobody_else(lab_machine: Machine, kvmd: Kvmd, seed: int) -> None:
    """Four attachments a thread of the pool, and the dedicated one stays alone: it can end while all others live on.

    On the RFC's one common list a dedicated thread was as good a choice as any for the next attachment. Then it
    could never end with its owner, or it took away the memory of strangers. So the owner goes in the middle, and
    right after it there must be no such process, while everybody else finds his data.
    """
    own = kvmd.open(DEDICATED)
    own.alloc(SIZE).fill(seed)
    crowd = [kvmd.open() for _ in range(4 * kvmd.stats().threads)]
    regions = [attachment.alloc(SIZE) for attachment in crowd]
    for number, region in enumerate(regions):
        region.fill(seed + number)
    assert _dedicated(lab_machine) == 1
    own.close()
    assert _dedicated(lab_machine) == 0
    apply_pressure(lab_machine, seed, verify=False)
    assert [region.verify(seed + number).bad_words for number, region in enumerate(regions)] == [0] * len(regions)
    for attachment in crowd:
        attachment.close()
    assert left_over(kvmd.stats()) == {}


def _dedicated(machine: Machine) -> int:
    """Count the processes that are dedicated threads."""
    found = 0
    for name in filter(str.isdigit, machine.agent.list_dir("/proc")):
        try:
            found += b"(kvmd/own)" in machine.agent.read_file(f"/proc/{name}/stat")
        except RefusedError:
            continue  # it ended meanwhile
    return found
