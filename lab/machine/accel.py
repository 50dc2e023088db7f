"""Which accelerator: TCG unless a probe has proved that KVM runs a guest from real mode on.

A device that can be opened proves nothing: on some hosts (nested ones above all) a guest never leaves its first
real-mode instructions. The probe boots a sector of our own, through the firmware, into protected mode, and waits for
it to say so.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import msgspec

from lab.errors import MachineError
from lab.machine.machine_type import machine_type
from lab.machine.spec import MachineSpec
from lab.process import require

PROBE_SECONDS = 2.0
START_SECONDS = 20.0

_KVM = Path("/dev/kvm")
_PORT = 0x501
_WORD = 0x2A
_PROVED = _WORD << 1 | 1  # what isa-debug-exit makes of the word

# at 0x7c00, real mode: load a flat GDT, enter protected mode, write the word to the port, stop
_SECTOR = bytes.fromhex(
    "fa"  # cli
    "31c0 8ed8"  # xor ax, ax; mov ds, ax
    "0f0116 227c"  # lgdt [0x7c22]
    "0f20c0 0c01 0f22c0"  # mov eax, cr0; or al, 1; mov cr0, eax
    "ea 177c 0800"  # jmp 0x08:0x7c17
    "66ba 0105"  # mov dx, 0x501
    "b0 2a"  # mov al, 0x2a
    "ee"  # out dx, al
    "f4 ebfd"  # hlt; jmp back to it
    "90"  # (to 0x7c22)
    "0f00 287c0000"  # GDT: limit 15, base 0x7c28
    "0000000000000000"  # the null descriptor
    "ffff0000009acf00"  # flat 32-bit code
)


class Probe(msgspec.Struct, frozen=True):
    """What a probe found, with a sentence for people."""

    proved: bool
    reason: str


def sector() -> bytes:
    """Return the probe's boot sector."""
    return _SECTOR.ljust(510, b"\0") + b"\x55\xaa"


@cache
def probe(binary: str, accel: str = "kvm", seconds: float = PROBE_SECONDS) -> Probe:
    """Boot the probe; the answer is kept for the life of this process."""
    if accel == "kvm" and not os.access(_KVM, os.R_OK | os.W_OK):
        return Probe(proved=False, reason=f"{_KVM} is not there, or not for this user")
    with tempfile.TemporaryFile() as disk:
        disk.write(sector().ljust(64 * 512, b"\0"))
        disk.flush()
        argv = [require("setpriv", "util-linux"), "--pdeathsig", "KILL", "--"]
        argv += [require(binary, "qemu-system-x86"), "-nodefaults", "-machine", machine_type(binary), "-cpu", "pentium"]
        argv += ["-m", "8M", "-accel", accel, "-display", "none", "-nic", "none", "-no-reboot"]
        argv += ["-add-fd", f"fd={disk.fileno()},set=1", "-device", f"isa-debug-exit,iobase={_PORT:#x},iosize=1"]
        argv += ["-blockdev", "driver=raw,node-name=disk,file.driver=file,file.filename=/dev/fdset/1"]
        argv += ["-device", "ide-hd,drive=disk"]
        try:
            run = subprocess.run(
                argv, pass_fds=[disk.fileno()], timeout=seconds, capture_output=True, check=False, process_group=0
            )
        except subprocess.TimeoutExpired:
            return Probe(proved=False, reason=f"{accel} is there, but a guest did not get through within {seconds:g} s")
    if run.returncode == _PROVED:
        return Probe(proved=True, reason=f"a guest got from real to protected mode under {accel}")
    words = run.stderr.decode(errors="replace").strip().splitlines()
    return Probe(proved=False, reason=words[-1] if words else f"the probe ended with status {run.returncode}")


def clock(spec: MachineSpec, accel: str) -> tuple[int | None, str]:
    """Return the icount shift that holds for a machine (None: host time) and the reason."""
    if spec.icount_shift is None:
        return None, "host time was asked for"
    if accel != "tcg":
        return None, "host time: virtual time is TCG's"
    # Several CPUs take turns up to the next timer's deadline. Before QEMU 8.1 one that spins uses all of it up and
    # leaves nothing for the next: with 7.2.22, 2.3.99-pre3 stood still in flush_tlb_others. A pause ends a turn, so the
    # ledger's busy-wait records put one into such loops; a CPU that computes still holds up the others for a tick.
    return spec.icount_shift, "virtual time, by instructions"


def choose(spec: MachineSpec, binary: str) -> tuple[str, str]:
    """Return the accelerator for a machine and the reason; "kvm" that can't be had is a MachineError."""
    if spec.accel == "tcg":
        return "tcg", "TCG is the default: virtual time and repeatable runs"
    found = probe(binary)
    if found.proved:
        return "kvm", found.reason
    if spec.accel == "kvm":
        raise MachineError(found.reason, doing="probing KVM", hint='accel="tcg", or "auto" to fall back by itself')
    return "tcg", f"TCG, since KVM failed its probe: {found.reason}"
