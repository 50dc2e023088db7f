"""QEMU's command line as a table: each option with the reason beside it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from typing import Any

import msgspec

from lab.machine.spec import MachineSpec, Parts

APPEND = "console=ttyS0 root=/dev/{}a init=/sbin/init panic=1"
_TODAYS_WATERMARKS = "sysctl.vm.min_free_kbytes=1536 sysctl.vm.watermark_boost_factor=0"
# Words of the kernel's command line by what it calls its disks, for any number of processors and for several.
_ERA_WORDS = {
    "hd": ("ide1=noprobe", "noapic"),
    "sd": ("rootwait tsc=reliable lpj=10000000 slub_debug=FZP kmemleak.verbose=1 " + _TODAYS_WATERMARKS, ""),
}
DUMP = "/proc/self/fd/{}"


class QemuOption(msgspec.Struct, frozen=True):
    """A flag of QEMU, its value (empty: it takes none), and why it is there."""

    flag: str
    value: str
    why: str


class Wiring(msgspec.Struct, frozen=True, kw_only=True):
    """File descriptors that QEMU inherits: three socket ends, and the files of the overlays."""

    qmp: int
    console: int
    agent: int
    root: int
    swap: int | None


def hardware(spec: MachineSpec, accel: str) -> Iterator[QemuOption]:
    """Yield what decides which machine the guest sees; these are part of a snapshot's key."""
    yield QemuOption("-nodefaults", "", "no device that is not named here")
    yield QemuOption(
        "-machine",
        f"{spec.machine_type},hpet=off,vmport=off,usb=off",
        "pinned, so that a snapshot and a boot are the same under a newer QEMU, as long as that has it. "
        "No timer or bus that a kernel of 2000 does not know",
    )
    yield QemuOption("-cpu", spec.cpu_model, "a pentium has no CMOV: code built for a newer CPU shows at once")
    yield QemuOption("-m", f"{spec.ram_mib}M", "little memory, so that swapping starts early")
    if spec.cpus > 1:
        yield QemuOption("-smp", f"{spec.cpus},sockets={spec.cpus}", "the MP table lists one CPU a socket")
    yield QemuOption("-accel", accel, "TCG unless a probe proved KVM")
    if accel == "tcg" and spec.icount_shift is not None:
        yield QemuOption(
            "-icount",
            f"shift={spec.icount_shift},sleep={'off' if spec.skip_idle else 'on'}",
            "virtual time runs by instructions: busy waits cost next to nothing, runs repeat closely. An idle guest "
            "sleeps on the host too; with sleep=off it would jump from tick to tick, and two threads of QEMU would be "
            "busy with that whenever the guest waits for its disk or for the host",
        )
    yield QemuOption("-rtc", "base=2000-04-04T12:00:00,clock=vm", "the guest's date does not depend on the host's")
    yield QemuOption("-display", "none", "nobody looks at it")
    yield QemuOption("-nic", "none", "no network, in or out")
    yield QemuOption("-no-reboot", "", "a panic (panic=1) and a triple fault end QEMU, and so every wait")


def confinement() -> Iterator[QemuOption]:
    """Yield what keeps QEMU within bounds on the host."""
    yield QemuOption(
        "-sandbox",
        "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
        "a guest that breaks out of its devices finds no way to start a program",
    )


def boot(spec: MachineSpec, parts: Parts) -> Iterator[QemuOption]:
    """Yield the kernel and its command line."""
    always, several = _ERA_WORDS[spec.disks]
    words = [APPEND.format(spec.disks), always, *([several] * (spec.cpus > 1)), spec.append]
    yield QemuOption("-kernel", str(parts.kernel_image), "no boot loader in between")
    yield QemuOption(
        "-append",
        " ".join(filter(None, words)),
        "2000: ide1=noprobe saves 2 s of busy waiting; panic=1 because -1 does nothing in these kernels; "
        "noapic because SMP kernels of the era panic on the I/O APIC's id. "
        "Today: rootwait, since disks are looked for beside all else. Under virtual time a clock that is compared with "
        "another one looks unreliable, and delays that are measured look wrong; QEMU's time stamp counter runs at 1 "
        "GHz. slub_debug without U: to note who allocated and freed each piece takes a third of the time under "
        "pressure, and kmemleak notes it as well. What that finds it shows on the console, where the watch takes it "
        "up. min_free_kbytes: three times what so small a machine gets, so that kswapd begins before all others wait "
        "for it. watermark_boost_factor: whoever takes a page of another kind makes 3 MiB more a reserve for a while; "
        "of so small a machine that is too much: the OOM killer came with 4 MiB free",
    )


def disks(spec: MachineSpec, parts: Parts, wiring: Wiring) -> Iterator[QemuOption]:
    """Yield root and swap: read-only images below private overlays that have no name on the host."""
    yield from _disk("root", 0, {"driver": "file", "filename": str(parts.root), "locking": "off"}, wiring.root, 1)
    if wiring.swap is not None:
        base: dict[str, Any] = {"driver": "null-co", "size": spec.swap_mib << 20, "read-zeroes": True}
        if parts.swap is not None:
            base = {"driver": "file", "filename": str(parts.swap), "locking": "off"}
        yield from _disk("swap", 1, base, wiring.swap, 2)


def _disk(name: str, unit: int, base: dict[str, Any], overlay: int, fdset: int) -> Iterator[QemuOption]:
    cache = {"no-flush": True}
    yield QemuOption(
        "-add-fd", f"fd={overlay},set={fdset}", "the overlay is an unnamed file: nothing can be left behind"
    )
    yield _json(
        {"driver": "raw", "node-name": f"{name}-image", "read-only": True, "file": base},
        "the image is shared by all machines",
    )
    yield _json(
        {
            "driver": "qcow2",
            "node-name": name,
            "backing": f"{name}-image",
            "cache": cache,
            "file": {"driver": "file", "filename": f"/dev/fdset/{fdset}", "node-name": f"{name}-file", "cache": cache},
        },
        "qcow2 because it holds the snapshots; never flushed, since it does not outlive QEMU. The node's name is the "
        "place where faults and throttling can be put in at run time",
    )
    yield QemuOption("-device", f"ide-hd,id={name},drive={name},bus=ide.0,unit={unit}", "PIIX IDE: the era's own disk")


def _json(node: dict[str, Any], why: str) -> QemuOption:
    return QemuOption("-blockdev", json.dumps(node), why)


def lines(wiring: Wiring) -> Iterator[QemuOption]:
    """Yield QMP, console and agent, each over a socket pair: no socket file, no race to connect."""
    for name, number in (("qmp", wiring.qmp), ("console", wiring.console), ("agent", wiring.agent)):
        yield QemuOption("-chardev", f"socket,id={name},fd={number}", f"the lab holds the other end of {name}")
    yield QemuOption("-qmp", "chardev:qmp", "commands, events, snapshots, statistics; -mon is deprecated from 11.1 on")
    yield QemuOption("-device", "isa-serial,chardev=console,index=0", "ttyS0: only read, never parsed for results")
    yield QemuOption("-device", "isa-serial,chardev=agent,index=1", "ttyS1: framed requests and replies")


def command(binary: str, options: list[QemuOption]) -> list[str]:
    """Return the words of a command line."""
    return [binary, *(word for option in options for word in (option.flag, option.value) if word)]


def by_hand(binary: str, spec: MachineSpec, parts: Parts, accel: str) -> str:
    """Return a shell command that boots the same machine on a person's terminal, with throw-away disks."""
    options = [
        *hardware(spec, accel),
        *boot(spec, parts),
        QemuOption("-snapshot", "", "the images stay as they are"),
        QemuOption("-drive", f"file={parts.root},format=raw,if=ide,index=0", "root"),
    ]
    if parts.swap is not None:
        options.append(QemuOption("-drive", f"file={parts.swap},format=raw,if=ide,index=1", "swap"))
    options += [QemuOption("-serial", "mon:stdio", "console"), QemuOption("-serial", "null", "agent")]
    return shlex.join(command(binary, options))
