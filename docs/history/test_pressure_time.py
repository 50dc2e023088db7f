"""What memory pressure costs the kernel in processor time: a scenario for `kvmd-lab bisect`."""

from __future__ import annotations

from lab.machine.machine import Machine


def test_kernel_works_no_longer_than_the_process_that_fills_memory(lab_machine: Machine, seed: int) -> None:
    """A process fills half as much memory again as there is and reads it back twice; 60 MiB go over the disk.

    Time that passes while nobody has anything to do is not counted, however slow the host's disk is; a kernel that
    spins meanwhile is. Most releases take half as long as the process.
    """
    worker = lab_machine.agent.spawn()
    user, system = _ticks(lab_machine)
    assert worker.mem_pressure(lab_machine.memory * 3 // 2, seed, passes=2).bad_words == 0
    user_after, system_after = _ticks(lab_machine)
    assert system_after - system < 3 * (user_after - user) // 2, f"{system_after - system} ticks"


def _ticks(machine: Machine) -> tuple[int, int]:
    """Return how long processes and the kernel have run, in ticks of 10 ms."""
    _, user, nice, system, *_ = machine.agent.read_file("/proc/stat").decode().split()
    return int(user) + int(nice), int(system)
