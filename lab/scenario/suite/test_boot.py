"""The kernel comes up, with swap and with kvmd."""

from __future__ import annotations

import re

from lab.machine.machine import Machine
from lab.scenario.kvmd import Kvmd


def test_boot(lab_machine: Machine, kvmd: Kvmd) -> None:
    """The guest is up, swap is on, kvmd's threads are there, and the console tells of no fault.

    A kernel of 2000 built by a compiler of today can boot and still lack its drivers: the pointers to their init
    functions lie in a section of their own, nobody refers to them, and the compiler may leave them out.
    """
    memory = lab_machine.agent.sysinfo()
    swap_kib = lab_machine.spec.swap_mib << 10
    assert swap_kib - 64 <= memory.totalswap * memory.mem_unit >> 10 <= swap_kib
    threads = [name for name in _processes(lab_machine) if re.fullmatch(r"kvmd/\d+", name)]
    assert len(threads) == 2 * lab_machine.spec.cpus
    assert kvmd.stats().threads == len(threads)
    lab_machine.check()


def _processes(machine: Machine) -> list[str]:
    """Names of all processes, from /proc."""
    found = []
    for name in machine.agent.list_dir("/proc"):
        if name.isdigit():
            line = machine.agent.read_file(f"/proc/{name}/stat").decode()
            found.append(line[line.index("(") + 1 : line.rindex(")")])
    return found
