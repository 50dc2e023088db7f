"""A guest that misbehaves: which error comes, from which call, and with which words."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.errors import AgentError, BootError, GuestFault, HostError, MachineError, SubjectError
from lab.machine.machine import Machine, Setup
from lab.machine.oops import ConsoleFault
from lab.machine.protocol import Op
from lab.machine.rpc import RefusedError

# with a cold boot, the boot's own ping is request 1


def test_hang_at_boot_is_a_boot_error_with_the_last_lines(setup: Callable[..., Setup]) -> None:
    how = setup("hang-boot")
    how["deadline"] = 0.5
    with pytest.raises(BootError, match="no ready agent") as caught:
        Machine.boot(**how)
    assert caught.value.seen == ("toy guest",)
    assert "-append" in caught.value.hint


def test_panic_at_boot_is_a_guest_fault(setup: Callable[..., Setup]) -> None:
    with pytest.raises(GuestFault, match="Kernel panic: toy guest asked to die"):
        Machine.boot(**setup("panic-boot"))


def test_triple_fault_at_boot_is_a_boot_error(setup: Callable[..., Setup]) -> None:
    with pytest.raises(BootError, match="the guest ended the machine") as caught:
        Machine.boot(**setup("reset-boot"))
    assert "triple fault" in caught.value.hint


def test_oops_is_raised_decoded_from_the_waiting_request(setup: Callable[..., Setup]) -> None:
    with Machine.boot(**setup("oops:2")) as machine, pytest.raises(ConsoleFault) as caught:
        machine.agent.ping(deadline=20.0)
    report = caught.value.report
    assert (str(report.eip), report.process) == ("toy_map_user+0x14/0x100", "toy (pid 7)")
    assert [place.symbol for place in report.trace] == ["toy_schedule", "toy_start"]
    assert report.lines[-1].startswith("Code: ")
    assert caught.value.doing == "asking the agent for PING"


def test_oops_is_raised_from_wait_for_and_check(setup: Callable[..., Setup]) -> None:
    with Machine.boot(**setup("oops:2")) as machine:
        machine.agent.submit(Op.PING)
        with pytest.raises(ConsoleFault):
            machine.console.wait_for("never said", deadline=20.0)
        with pytest.raises(ConsoleFault):
            machine.check()


def test_oops_leaves_qmp_usable(setup: Callable[..., Setup]) -> None:
    with Machine.boot(**setup("oops:2")) as machine:
        with pytest.raises(ConsoleFault):
            machine.agent.ping()
        assert machine.qmp("query-status")["status"] == "running"


def test_oops_is_forgotten_by_restore(setup: Callable[..., Setup]) -> None:
    with Machine.boot(**setup("oops:4")) as machine:
        machine.snapshot()  # request 2
        machine.agent.ping()
        with pytest.raises(ConsoleFault):
            machine.agent.ping()
        machine.restore()  # its ping is request 3 again
        machine.check()
        assert machine.console.lines == ()


def test_panic_ends_qemu_and_is_raised_from_the_waiting_request(setup: Callable[..., Setup]) -> None:
    with Machine.boot(**setup("panic:2")) as machine, pytest.raises(ConsoleFault, match="Kernel panic") as caught:
        machine.agent.ping(deadline=20.0)
    assert caught.value.report.lines[-1] == "Rebooting in 1 seconds.."


def test_panic_is_what_a_qmp_command_on_the_dead_qemu_tells(setup: Callable[..., Setup]) -> None:
    with Machine.boot(**setup("panic:2")) as machine:
        machine.agent.submit(Op.PING)
        with pytest.raises(GuestFault):
            machine.console.wait_for("never", deadline=20.0)
        with pytest.raises(ConsoleFault, match="Kernel panic"):
            machine.qmp("query-status")


def test_killed_process_is_a_fault(setup: Callable[..., Setup]) -> None:
    with Machine.boot(**setup("killed:2")) as machine, pytest.raises(ConsoleFault, match="VM: killing process agent"):
        machine.agent.ping(deadline=20.0)


def test_reset_without_a_word_is_a_guest_fault(setup: Callable[..., Setup]) -> None:
    with Machine.boot(**setup("reset:2")) as machine, pytest.raises(GuestFault, match="guest-reset"):
        machine.agent.ping(deadline=20.0)


def test_mute_agent_is_an_agent_error_with_the_console(setup: Callable[..., Setup]) -> None:
    with (
        Machine.boot(**setup("mute:2")) as machine,
        pytest.raises(AgentError, match=r"no reply within [\d.]+ s") as caught,
    ):
        machine.agent.ping(deadline=0.3)
    assert "lab: agent ready" in caught.value.seen


def test_damaged_reply_is_counted_and_the_next_one_arrives(setup: Callable[..., Setup]) -> None:
    with Machine.boot(**setup("garble:2")) as machine:
        with pytest.raises(AgentError, match="1 damaged frames"):
            machine.agent.ping(b"first", deadline=0.3)
        machine.agent.ping(b"second")


def test_half_a_reply_does_not_swallow_the_next_one(setup: Callable[..., Setup]) -> None:
    with Machine.boot(**setup("cut:2")) as machine:
        with pytest.raises(AgentError, match="no reply"):
            machine.agent.ping(b"first", deadline=0.3)
        machine.agent.ping(b"second")


def test_late_reply_behind_another_reaches_its_own_request(setup: Callable[..., Setup]) -> None:
    with Machine.boot(**setup("late:2")) as machine:
        first = machine.agent.submit(Op.PING, b"first")
        second = machine.agent.submit(Op.PING, b"second")
        assert (second.result(), first.result()) == (b"second", b"first")


def break_swap_writes(machine: Machine, number: int) -> None:
    """Let every write to the swap disk's overlay fail with an errno."""
    rules = [{"event": "write_aio", "errno": number}]
    filtering = {"driver": "blkdebug", "node-name": "swap-fault", "image": "swap-file", "inject-error": rules}
    machine.qmp("blockdev-add", filtering)
    node = {"driver": "qcow2", "node-name": "swap", "file": "swap-fault", "backing": "swap-image"}
    machine.qmp("blockdev-reopen", {"options": [node]})


def test_full_host_disk_is_a_host_error_from_the_waiting_request(machine: Machine) -> None:
    break_swap_writes(machine, errno.ENOSPC)
    with pytest.raises(HostError, match="No space left on device") as caught:
        machine.agent.sync(deadline=20.0)
    assert "KVMD_LAB_CACHE" in caught.value.hint


def test_broken_disk_is_for_the_guest_to_see_and_gone_after_restore(machine: Machine) -> None:
    break_swap_writes(machine, errno.EIO)
    with pytest.raises(RefusedError):
        machine.agent.sync(deadline=20.0)
    counted = machine.block_stats().swap.failed_writes
    machine.restore()
    machine.agent.sync()
    assert counted == 1


def test_unknown_operation_is_refused_by_name(machine: Machine) -> None:
    with pytest.raises(RefusedError, match="refused with ENOSYS") as caught:
        machine.agent.sysinfo()
    assert (caught.value.name, caught.value.status) == ("ENOSYS", -38)


def test_line_that_never_comes_is_a_subject_error(machine: Machine) -> None:
    with pytest.raises(SubjectError, match="no line with 'unheard'"):
        machine.console.wait_for("unheard", deadline=0.1)


def test_console_log_holds_the_lines(setup: Callable[..., Setup], tmp_path: Path) -> None:
    with Machine.boot(**setup()):
        pass
    assert (tmp_path / "console.log").read_bytes() == b"toy guest\r\nlab: agent ready\r\n"


def test_kernel_that_is_none_is_a_machine_error_with_qemus_words(setup: Callable[..., Setup], tmp_path: Path) -> None:
    how = setup()
    how["kernel_image"] = tmp_path / "missing"
    with pytest.raises(MachineError, match="QEMU ended with status 1") as caught:
        Machine.boot(**how)
    assert "could not open kernel file" in str(caught.value)
