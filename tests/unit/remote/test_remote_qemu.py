"""A QEMU on the other side, by a link of the test's own."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, cast

import pytest

from lab.errors import RemoteError
from lab.machine.host import Fit
from lab.machine.spec import MachineSpec, Parts
from lab.remote import messages
from lab.remote.qemu import RemoteQemu

FIT = Fit(MachineSpec(), "tcg", "no KVM here")


class Link:
    """Starts a QEMU, and answers nothing else."""

    where = "box"
    lost = None

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.attached: list[int] = []

    def attach(self, _: object) -> int:
        self.attached.append(7)
        return 7

    def detach(self, number: int) -> None:
        self.attached.remove(number)

    def ask(self, request: messages.Request, *_: object) -> Any:
        if isinstance(request, messages.Start):
            return messages.Started(123, ["qemu"], ["root"], "/dev/fdset/1")
        raise RemoteError("no answer within 120 s")


def test_all_is_let_go_of_a_qemu_whose_keeper_does_not_answer() -> None:
    link = Link()
    qemu = RemoteQemu(cast("Any", link), Parts(kernel_image=Path("k"), root=Path("r")), FIT, "")
    with pytest.raises(RemoteError, match="no answer"):
        qemu.close()
    assert link.attached == []
    assert all(end.fileno() < 0 for end in qemu.near.values())
    qemu.close()
