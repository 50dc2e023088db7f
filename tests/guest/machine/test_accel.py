"""The probe that decides whether an accelerator runs guests here."""

from __future__ import annotations

import pytest

from lab.errors import MachineError
from lab.machine import accel
from lab.machine.spec import MachineSpec

QEMU = "qemu-system-i386"


def test_probe_under_tcg_gets_to_protected_mode() -> None:
    assert accel.probe(QEMU, "tcg", 20.0).proved


def test_probe_of_a_guest_that_gets_nowhere_ends_at_its_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accel, "_SECTOR", b"\xeb\xfe")  # jmp to itself
    found = accel.probe.__wrapped__(QEMU, "tcg", 1.0)
    assert (found.proved, found.reason) == (False, "tcg is there, but a guest did not get through within 1 s")


def test_auto_uses_what_the_probe_says() -> None:
    proved = accel.probe(QEMU).proved
    assert accel.choose(MachineSpec(accel="auto"), QEMU)[0] == ("kvm" if proved else "tcg")


def test_kvm_that_fails_its_probe_is_a_machine_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accel, "probe", lambda _binary: accel.Probe(proved=False, reason="it hangs"))
    with pytest.raises(MachineError, match="it hangs"):
        accel.choose(MachineSpec(accel="kvm"), QEMU)
