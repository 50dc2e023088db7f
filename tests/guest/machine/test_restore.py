"""A machine that is put back to its snapshot, in place and in a new process."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from lab.errors import AgentError, MachineError
from lab.machine.machine import Machine, Setup
from lab.machine.protocol import Op
from lab.machine.session import Session
from lab.machine.spec import MachineState

PLACE = 0x200000  # memory of the toy guest that nothing else uses


def poke(machine: Machine, value: int) -> None:
    machine.agent.request(Op.MEM_POKE, struct.pack("<II", PLACE, value))


def peek(machine: Machine) -> int:
    return int.from_bytes(machine.agent.request(Op.MEM_PEEK, struct.pack("<I", PLACE)), "little")


def test_restored_machine_answers_ping(machine: Machine) -> None:
    machine.agent.ping(b"there?")
    assert machine.state is MachineState.RUNNING


def test_restore_in_place_puts_memory_back(machine: Machine) -> None:
    pid = machine.pid
    poke(machine, 0x12345678)
    machine.restore()
    assert (peek(machine), machine.pid) == (0, pid)


def test_restore_twice_in_place_still_answers(machine: Machine) -> None:
    machine.restore()
    machine.restore()
    machine.agent.ping(b"again")


def test_second_machine_comes_from_the_cache_without_a_boot(
    setup: Callable[..., Setup], events: list[dict[str, object]]
) -> None:
    with Machine.restored(**setup()):
        events.clear()
    with Machine.restored(**setup()):
        stages = [event["name"] for event in events if event["kind"] == "stage" and event["phase"] == "begin"]
    assert stages == ["restore"]


def test_other_command_line_has_another_snapshot(setup: Callable[..., Setup], machine: Machine) -> None:
    with Machine.restored(**setup("deaf:99")) as other:
        assert other._entry != machine._entry


def test_two_machines_at_once_do_not_share_memory(setup: Callable[..., Setup], machine: Machine) -> None:
    with Machine.restored(**setup()) as other:
        poke(machine, 1)
        poke(other, 2)
        assert (peek(machine), peek(other)) == (1, 2)


def test_booted_machine_goes_back_to_its_own_snapshot(setup: Callable[..., Setup]) -> None:
    with Machine.boot(**setup()) as machine:
        poke(machine, 5)
        machine.snapshot()
        poke(machine, 6)
        machine.restore()
        assert peek(machine) == 5


def test_booted_machine_without_snapshot_cannot_restore(setup: Callable[..., Setup]) -> None:
    with Machine.boot(**setup()) as machine, pytest.raises(MachineError, match="no snapshot"):
        machine.restore()


def test_request_under_way_ends_with_the_restore(setup: Callable[..., Setup]) -> None:
    with Machine.boot(**setup("late:4")) as machine:  # request 1 is the boot's ping
        machine.snapshot()  # request 2, and so 3 comes after each restore
        machine.agent.ping()
        held = machine.agent.submit(Op.PING, b"held back")
        machine.restore()
        with pytest.raises(AgentError, match="the machine was restored"):
            held.result(1.0)


def test_half_a_reply_of_the_time_before_does_not_hold_up_the_next_one(setup: Callable[..., Setup]) -> None:
    with Machine.boot(**setup("cut:4")) as machine:
        machine.snapshot()
        machine.agent.ping()
        machine.agent.submit(Op.PING, b"x" * 440)
        for _ in range(1000):  # rounds through QEMU, until the half reply is there
            if machine.agent.rpc._decoder.pending > 150:
                break
            machine.qmp("query-status")
        machine.restore()
        assert (machine.agent.rpc._decoder.pending, machine.agent.rpc.damaged) == (0, 0)


def test_requests_that_the_guest_never_read_do_not_reach_the_restored_one(setup: Callable[..., Setup]) -> None:
    with Machine.restored(**setup("deaf:4")) as machine:
        machine.agent.submit(Op.PING)  # the deaf one hears this and no more
        for value in range(1, 15):
            machine.agent.submit(Op.MEM_POKE, struct.pack("<II", PLACE, value))
        pid = machine.pid
        machine.restore()
        assert (int.from_bytes(machine.pmemsave(PLACE, 4), "little"), machine.pid) == (0, pid)


def test_dead_qemu_is_revived_by_restore(machine: Machine) -> None:
    session: Session = machine._live("killing")
    session.qmp.execute("quit")
    with pytest.raises(MachineError, match="told to quit"):
        machine.console.wait_for("never")
    states = [machine.state]
    machine.restore()
    machine.agent.ping()
    assert [*states, machine.state] == [MachineState.DEAD, MachineState.RUNNING]


def test_swap_disk_writes_are_counted_and_start_again_at_restore(machine: Machine) -> None:
    before = machine.block_stats()
    machine.agent.sync()
    after = machine.block_stats()
    machine.restore()
    counted = (before.swap.written_bytes, after.swap.written_bytes, after.swap.writes, after.root.writes)
    assert (*counted, machine.block_stats().swap.written_bytes) == (0, 512, 1, 0, 0)


def test_pmemsave_reads_what_the_guest_wrote(machine: Machine) -> None:
    poke(machine, 0xCAFEF00D)
    assert machine.pmemsave(PLACE, 8) == struct.pack("<II", 0xCAFEF00D, 0)
