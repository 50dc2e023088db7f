"""Calls at the wrong time say in which state the machine is and which one they need."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from lab.errors import HostError, MachineError
from lab.machine.machine import Machine, Setup
from lab.machine.spec import MachineState


def test_request_to_a_stopped_guest_names_both_states(machine: Machine) -> None:
    machine.stop()
    with pytest.raises(MachineError, match="the machine is stopped; this needs one that is running"):
        machine.agent.ping()


def test_stopped_guest_goes_on_after_cont(machine: Machine) -> None:
    machine.stop()
    machine.cont()
    machine.agent.ping()
    assert machine.state is MachineState.RUNNING


def test_cont_of_a_running_guest_names_both_states(machine: Machine) -> None:
    with pytest.raises(MachineError, match="the machine is running; this needs one that is stopped"):
        machine.cont()


def test_stopped_guest_can_be_restored(machine: Machine) -> None:
    machine.stop()
    machine.restore()
    assert machine.state is MachineState.RUNNING


def test_closed_machine_refuses_by_name(setup: Callable[..., Setup]) -> None:
    machine = Machine.restored(**setup())
    agent = machine.agent
    machine.close()
    machine.close()
    for call in (machine.check, machine.restore, machine.block_stats, agent.ping):
        with pytest.raises(MachineError, match="the machine is closed; this needs one that is running"):
            call()


def test_qemu_has_nothing_to_warn_of(machine: Machine) -> None:
    machine.agent.ping()
    assert machine._live("test").words() == []


def test_command_that_qemu_refuses_is_a_machine_error(machine: Machine) -> None:
    with pytest.raises(MachineError, match=r"QMP nonsense: QEMU refuses: .*has not been found"):
        machine.qmp("nonsense")


def test_failing_job_is_a_machine_error_although_its_command_succeeds(machine: Machine) -> None:
    with pytest.raises(MachineError, match="no-such-tag"):
        machine._live("test").qmp.job("snapshot-load", {"tag": "no-such-tag", "vmstate": "root", "devices": ["root"]})


def test_missing_qemu_is_a_host_error_that_names_the_package(setup: Callable[..., Setup]) -> None:
    how = setup()
    how["settings"] = msgspec.structs.replace(how["settings"], qemu="qemu-system-none")
    with pytest.raises(HostError, match="qemu-system-none is not installed") as caught:
        Machine.boot(**how)
    assert caught.value.hint == "apt-get install qemu-system-x86"


def test_two_cpus_boot(setup: Callable[..., Setup]) -> None:
    with Machine.boot(**setup(cpus=2)) as machine:
        assert len(machine.qmp("query-cpus-fast")) == 2
        assert (machine.spec.icount_shift is None) == ("host time" in machine.reason)
