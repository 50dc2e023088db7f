from __future__ import annotations

import io
import json
import struct
from pathlib import Path

import msgspec
import pytest

from lab.errors import MachineError, UsageError
from lab.machine import accel, blocks, options, qcow2, snapshots
from lab.machine.blocks import BlockStats, DriveStats
from lab.machine.options import QemuOption, Wiring
from lab.machine.spec import MachineSpec, MachineState, Parts, demand, spec_for
from lab.machine.symbols import Symbols
from lab.version import KernelVersion

PARTS = Parts(kernel_image=Path("/k/bzImage"), root=Path("/i/root.img"), swap=Path("/i/swap.img"))
WIRING = Wiring(qmp=3, console=4, agent=5, root=6, swap=7)
MAP = "c0100000 T _stext\nc0100000 T start\nc0100040 t helper\nc0100080 T _etext\nc0200000 D data\n"


def every_option(spec: MachineSpec) -> list[QemuOption]:
    return [
        *options.hardware(spec, "tcg"),
        *options.confinement(),
        *options.boot(spec, PARTS),
        *options.disks(spec, PARTS, WIRING),
        *options.lines(WIRING),
    ]


def value(flag: str, found: list[QemuOption]) -> str:
    return next(option.value for option in found if option.flag == flag)


def nodes(spec: MachineSpec, parts: Parts = PARTS) -> list[dict[str, object]]:
    return [json.loads(option.value) for option in options.disks(spec, parts, WIRING) if option.flag == "-blockdev"]


def test_every_option_has_a_reason() -> None:
    assert [option.flag for option in every_option(MachineSpec(cpus=2)) if not option.why] == []


def test_virtual_time_is_the_default_and_can_be_switched_off() -> None:
    assert value("-icount", every_option(MachineSpec())) == "shift=5,sleep=on"
    assert value("-icount", every_option(MachineSpec(skip_idle=True))) == "shift=5,sleep=off"
    assert "-icount" not in options.command("q", every_option(MachineSpec(icount_shift=None)))


def test_virtual_time_is_left_out_under_kvm() -> None:
    assert "-icount" not in [option.flag for option in options.hardware(MachineSpec(), "kvm")]


def test_two_cpus_are_sockets_without_io_apic() -> None:
    found = every_option(MachineSpec(cpus=2))
    assert (value("-smp", found), value("-cpu", found)) == ("2,sockets=2", "pentium3")
    assert "noapic" in value("-append", found).split()


def test_todays_kernel_has_its_own_disks_and_words() -> None:
    found = every_option(MachineSpec(cpus=2, disks="sd"))
    words = value("-append", found).split()
    assert "root=/dev/sda" in words
    assert "tsc=reliable" in words
    assert not {"noapic", "ide1=noprobe"} & set(words)
    assert MachineSpec(disks="sd").swap_device == "/dev/sdb"


@pytest.mark.parametrize(
    ("version", "given", "expected"),
    [
        ("2.3.99-pre3", {}, (16, 1, "hd")),
        ("2.3.99-pre3", {"cpus": 2}, (16, 2, "hd")),
        ("6.1.192", {}, (28, 2, "sd")),
        ("6.1.192", {"ram_mib": 64, "cpus": 1}, (64, 1, "sd")),
    ],
)
def test_machine_suits_the_kernel(version: str, given: dict[str, int], expected: tuple[int, int, str]) -> None:
    spec = spec_for(KernelVersion(version), given)
    assert (spec.ram_mib, spec.cpus, spec.disks) == expected


def test_callers_words_come_behind_the_labs() -> None:
    append = value("-append", every_option(MachineSpec(append="mem=8M")))
    assert append.split()[0] == "console=ttyS0"
    assert append.endswith("mem=8M")


def test_images_are_read_only_below_the_overlays() -> None:
    found = nodes(MachineSpec())
    assert [(node["node-name"], node["driver"], node.get("read-only", False)) for node in found] == [
        ("root-image", "raw", True),
        ("root", "qcow2", False),
        ("swap-image", "raw", True),
        ("swap", "qcow2", False),
    ]


def test_missing_swap_image_becomes_a_blank_disk_without_a_file() -> None:
    found = nodes(MachineSpec(swap_mib=4), msgspec.structs.replace(PARTS, swap=None))
    assert found[2]["file"] == {"driver": "null-co", "size": 4 << 20, "read-zeroes": True}


def test_command_by_hand_leaves_the_images_alone() -> None:
    words = options.by_hand("qemu", MachineSpec(), PARTS, "tcg").split()
    assert "-snapshot" in words
    assert not [word for word in words if "fd=" in word or "fdset" in word]


@pytest.mark.parametrize(
    ("field", "number"), [("ram_mib", 3), ("ram_mib", 4096), ("cpus", 0), ("cpus", 9), ("icount_shift", 11)]
)
def test_spec_that_cannot_be_is_a_usage_error(field: str, number: int) -> None:
    with pytest.raises(UsageError):
        msgspec.structs.replace(MachineSpec(), **{field: number})


def test_wrong_state_is_told_with_both_states() -> None:
    with pytest.raises(MachineError, match="stopping: the machine is dead; this needs one that is running or stopped"):
        demand(MachineState.DEAD, MachineState.RUNNING, MachineState.STOPPED, doing="stopping")


@pytest.mark.parametrize(
    ("address", "place"),
    [
        (0xC0100000, "start+0x0/0x40"),
        (0xC010003F, "start+0x3f/0x40"),
        (0xC0100040, "helper+0x0/0x40"),
        (0xC0100080, "None"),
        (0xC00FFFFF, "None"),
    ],
)
def test_address_is_placed_in_its_function(address: int, place: str) -> None:
    assert str(Symbols(MAP).place(address)) == place


def test_address_of_data_is_known_by_name() -> None:
    symbols = Symbols(MAP)
    assert (symbols.address("data"), symbols.address("none")) == (0xC0200000, None)


def test_missing_system_map_knows_no_name(tmp_path: Path) -> None:
    assert Symbols.load(tmp_path / "missing").place(0xC0100000) is None


def test_block_statistics_are_read_by_device_and_subtracted() -> None:
    def entry(name: str, factor: int) -> dict[str, object]:
        names = ("rd_bytes", "wr_bytes", "rd_operations", "wr_operations", "failed_rd_operations")
        stats = {key: factor * number for number, key in enumerate((*names, "failed_wr_operations"), 1)}
        return {"qdev": name, "stats": stats}

    later = blocks.read([entry("root", 10), entry("/machine/peripheral/swap", 100)])
    earlier = BlockStats(root=DriveStats(read_bytes=4), swap=DriveStats(writes=100))
    assert later - earlier == BlockStats(
        root=DriveStats(6, 20, 30, 40, 50, 60), swap=DriveStats(100, 200, 300, 300, 500, 600)
    )


@pytest.mark.parametrize(("size", "entries"), [(512, 1), (512 << 20, 1), ((512 << 20) + 512, 2)])
def test_overlay_has_a_header_that_fits_its_disk(size: int, entries: int) -> None:
    file = io.BytesIO()
    qcow2.write_overlay(file, size)
    magic, version, _, _, bits, disk, _, l1_entries = struct.unpack_from(">4sIQIIQII", file.getvalue())
    assert (magic, version, bits, disk, l1_entries) == (b"QFI\xfb", 3, 16, size, entries)
    assert len(file.getvalue()) == 4 * qcow2.CLUSTER


def test_overlay_of_a_monstrous_disk_is_refused() -> None:
    with pytest.raises(ValueError, match="more than one cluster"):
        qcow2.write_overlay(io.BytesIO(), 5 << 40)


def test_probe_sector_is_bootable_and_its_jump_lands_behind_itself() -> None:
    sector = accel.sector()
    place = sector.index(b"\xea") + 5
    assert (len(sector), sector[-2:]) == (512, b"\x55\xaa")
    assert int.from_bytes(sector[place - 4 : place - 2], "little") == 0x7C00 + place


@pytest.mark.parametrize(
    ("cpus", "asked", "kind", "shift"),
    [(1, 5, "tcg", 5), (2, 5, "tcg", 5), (2, None, "tcg", None), (1, 5, "kvm", None)],
)
def test_virtual_time_is_kept_where_it_holds(cpus: int, asked: int | None, kind: str, shift: int | None) -> None:
    assert accel.clock(MachineSpec(cpus=cpus, icount_shift=asked), kind)[0] == shift


def test_key_changes_with_contents_and_hardware_but_not_with_place(tmp_path: Path) -> None:
    def key(folder: str, kernel: bytes, spec: MachineSpec) -> str:
        place = tmp_path / folder
        place.mkdir()
        (place / "bzImage").write_bytes(kernel)
        with (place / "root.img").open("wb") as file:
            file.truncate(1 << 20)
        parts = Parts(kernel_image=place / "bzImage", root=place / "root.img")
        return snapshots.manifest("sh", spec, parts, "tcg").key

    first = key("a", b"kernel", MachineSpec())
    assert key("b", b"kernel", MachineSpec()) == first
    others = {
        key("c", b"other!", MachineSpec()),
        key("d", b"kernel", MachineSpec(ram_mib=20)),
        key("e", b"kernel", MachineSpec(append="mem=8M")),
        key("f", b"kernel", MachineSpec(swap_mib=8)),
        key("g", b"kernel", MachineSpec(machine_type="pc-i440fx-8.2")),
        first,
    }
    assert len(others) == 6


def test_digest_of_a_sparse_disk_sees_data_behind_holes(tmp_path: Path) -> None:
    digests = set()
    for name, place in (("a", None), ("b", 1 << 20), ("c", 2 << 20)):
        with (tmp_path / name).open("wb") as file:
            file.truncate(4 << 20)
            if place is not None:
                file.seek(place)
                file.write(b"data")
        digests.add(snapshots._contents(tmp_path / name))
    assert len(digests) == 3
