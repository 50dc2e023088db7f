"""What holds for machines here holds for machines on another host: the same tests, through SSH."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from lab.errors import HostError, UsageError
from lab.journal import Journal
from lab.machine.machine import Machine, Setup
from lab.remote.backend import RemoteBackend
from lab.settings import Settings
from tests.guest.machine.test_faults import *  # noqa: F403
from tests.guest.machine.test_restore import *  # noqa: F403
from tests.guest.machine.test_states import *  # noqa: F403
from tests.guest.remote.sshd import Sshd

pytestmark = pytest.mark.usefixtures("client")

del test_kernel_that_is_none_is_a_machine_error_with_qemus_words  # noqa: F821 - it is missed before QEMU could
del test_missing_qemu_is_a_host_error_that_names_the_package  # noqa: F821 - the connection knows which, see below


def test_kernel_that_is_none_is_a_usage_error(setup: Callable[..., Setup], tmp_path: Path) -> None:
    how = setup()
    how["kernel_image"] = tmp_path / "missing"
    with pytest.raises(UsageError, match="missing cannot be read"):
        Machine.boot(**how)


def test_books_are_those_of_qemu_and_its_peer_there_and_of_this_process(setup: Callable[..., Setup]) -> None:
    with Machine.restored(**setup()) as machine:
        threads = set(machine._live("reading its books")._qemu.books())
        assert {f"{one.name} there" for one in Path(f"/proc/{machine.pid}/task").iterdir()} < threads
        assert {one.name for one in Path("/proc/self/task").iterdir()} < threads


def test_qemu_that_is_missing_there_is_a_host_error_that_says_where(
    setup: Callable[..., Setup], settings: Settings, client: Sshd
) -> None:
    there = RemoteBackend(msgspec.structs.replace(settings, qemu="qemu-system-none"), Journal())
    how = setup()
    how["host"] = there.host()
    with pytest.raises(HostError, match="qemu-system-none is not installed") as caught:
        Machine.restored(**how)
    there.close()
    assert f"on {client.user.name}@" in caught.value.doing
    assert caught.value.hint == "apt-get install qemu-system-x86"
