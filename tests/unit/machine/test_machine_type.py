"""Which machine type is taken from what a QEMU offers."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.errors import HostError
from lab.machine.machine_type import choose, machine_type


def listing(*types: str) -> str:
    """What `-machine help` prints, for PCs of these releases; a star marks one that is called deprecated."""
    lines = ["Supported machines are:", "microvm              microvm (i386)"]
    lines += ["pc                   Standard PC (i440FX + PIIX, 1996) (alias of pc-i440fx-99.9)"]
    for each in types:
        name = f"pc-i440fx-{each.rstrip('*')}"
        lines.append(f"{name:<20} Standard PC (i440FX + PIIX, 1996){' (deprecated)' * each.endswith('*')}")
    return "\n".join([*lines, "pc-q35-7.2           Standard PC (Q35 + ICH9, 2009)", ""])


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (("7.2", "7.1", "6.2"), "7.2"),
        (("9.2", "8.0", "7.2", "7.1", "7.0*", "10.0"), "7.2"),
        (("9.2", "8.2", "8.1*", "8.0*", "7.2*", "11.1", "10.0"), "8.2"),
        (("12.0", "10.2", "11.1"), "10.2"),
    ],
    ids=["7.2", "10.0", "11.1", "all newer"],
)
def test_oldest_type_from_7_2_on_that_is_not_deprecated_is_taken(offered: tuple[str, ...], chosen: str) -> None:
    assert choose(listing(*offered)) == f"pc-i440fx-{chosen}"


@pytest.mark.parametrize("offered", [("6.2", "7.0"), ("7.2*",), ()], ids=["older", "deprecated", "no PC"])
def test_qemu_without_such_a_type_is_a_host_error_that_says_which_is_needed(
    offered: tuple[str, ...], tmp_path: Path
) -> None:
    qemu = tmp_path / "qemu"
    qemu.write_text(f"#!/bin/sh\ncat <<'END'\n{listing(*offered)}END\n")
    qemu.chmod(0o755)
    with pytest.raises(HostError, match=r"offers no i440FX PC of 7\.2 or newer") as caught:
        machine_type(str(qemu))
    assert "KVMD_LAB_QEMU" in caught.value.hint


def test_qemu_that_is_no_program_is_a_host_error(tmp_path: Path) -> None:
    qemu = tmp_path / "qemu"
    qemu.write_bytes(b"\0")
    qemu.chmod(0o755)
    with pytest.raises(HostError, match="cannot be started"):
        machine_type(str(qemu))
