from __future__ import annotations

import errno
import shutil
from pathlib import Path

import pytest

from lab.build import Kernel, Plan
from lab.build.kernel import build
from lab.cache import file_digest
from lab.errors import CompileError, ConfigError, HostError, PortError
from lab.journal import Journal
from lab.source import Tree
from tests.unit.build.toykernel import TOY_TREE, Bench, edit, fragment
from tests.unit.port.toyport import VERSION, texts

Warm = tuple[Bench, Kernel]


def test_cold_build_gives_a_kernel_with_its_manifest(warm: Warm) -> None:
    _, kernel = warm
    manifest = kernel.read_manifest()
    assert kernel.fresh
    assert not kernel.smp
    assert (manifest.version, manifest.variant) == ("2.3.99-pre3", "up")
    assert manifest.compiled == 15
    assert manifest.audit.linked == {"initcalls": 3, "setup entries": 2}
    assert manifest.audit.findings == ()
    assert manifest.bzimage_sha256 == file_digest(kernel.bzimage)
    assert "toy-kvmd" in manifest.records
    assert "toy-later-only" not in manifest.records
    assert kernel.vmlinux.read_bytes()[:4] == b"\x7fELF"
    assert " kvmd_answer\n" in kernel.system_map.read_text()
    assert "CONFIG_KVMD=y\n" in kernel.config.read_text()


def test_stages_are_told_in_the_order_of_the_work(warm: Warm) -> None:
    bench, _ = warm
    assert bench.stages()[:4] == ["port", "configure", "audit", "build"]
    done = [event["done"] for event in bench.events if event["kind"] == "progress"]
    assert done[:15] == list(range(1, 16))


def test_nothing_changed_gives_the_kernel_from_the_cache(warm: Warm) -> None:
    bench, kernel = warm
    again = Bench(bench.settings.cache)
    found = again.build()
    assert not found.fresh
    assert (found.key, found.bzimage) == (kernel.key, kernel.bzimage)
    assert [event for event in again.events if event["kind"] == "command"] == []


@pytest.mark.usefixtures("warm")
def test_tree_is_not_written_to() -> None:
    assert not {"vmlinux", ".config", "System.map", "mm/kvmd.c"} & texts(TOY_TREE).keys()


def test_change_in_kvmd_compiles_that_file_alone(warm: Warm, tmp_path: Path) -> None:
    bench = warm[0].own_ledger(tmp_path / "ledger")
    edit(bench.ledger / "kvmd" / "kvmd.c", "return 41;", "return 4242;")
    kernel = bench.build()
    assert kernel.fresh
    assert kernel.read_manifest().compiled == 1
    assert "port" not in bench.stages()
    assert (4242).to_bytes(4, "little") in kernel.vmlinux.read_bytes()


def test_comment_in_a_topic_is_no_change(warm: Warm, tmp_path: Path) -> None:
    bench = warm[0].own_ledger(tmp_path / "ledger")
    topic = bench.ledger / "kernel-patches" / "10-language.toml"
    topic.write_text(topic.read_text() + "# nothing\n")
    assert not bench.build().fresh


def test_mistake_in_kvmd_is_a_compile_error_and_mended_compiles_that_file_alone(warm: Warm, tmp_path: Path) -> None:
    bench = warm[0].own_ledger(tmp_path / "ledger")
    before = bench.entries("kernels")
    edit(bench.ledger / "kvmd" / "kvmd.c", "return 41;", "return 43 +;")
    with pytest.raises(CompileError, match="make bzImage failed") as caught:
        bench.build()
    assert any("kvmd.c:10:" in line and "error:" in line for line in caught.value.seen)
    assert caught.value.log is not None
    assert "return 43 +;" in caught.value.log.read_text()
    assert bench.entries("kernels") == before
    edit(bench.ledger / "kvmd" / "kvmd.c", "return 43 +;", "return 43;")
    assert bench.build().read_manifest().compiled == 1


def test_option_that_the_tree_drops_is_a_config_error(bench: Bench, tmp_path: Path) -> None:
    asked = fragment(tmp_path, "CONFIG_TOY_NEEDS_SMP=y", "CONFIG_NO_SUCH=y", "CONFIG_TOY_HANG=n")
    with pytest.raises(ConfigError) as caught:
        bench.build(fragments=(asked,))
    assert caught.value.what == (
        "the tree's configuration scripts dropped CONFIG_TOY_NEEDS_SMP=y became n, CONFIG_NO_SUCH=y became n"
    )
    assert bench.entries("kernels") == []


def test_fragments_that_disagree_are_a_config_error_that_names_both(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"up\.config wants CONFIG_SMP=n, mine\.config wants CONFIG_SMP=y"):
        bench.build(fragments=(fragment(tmp_path, "CONFIG_SMP=y"),))
    assert bench.entries("work") == []


def test_unknown_variant_is_a_config_error(bench: Bench) -> None:
    with pytest.raises(ConfigError, match="there is no variant 'numa'"):
        bench.build(variant="numa")


def test_ledger_that_does_not_fit_leaves_nothing(bench: Bench, tmp_path: Path) -> None:
    own = bench.own_ledger(tmp_path / "ledger")
    edit(own.ledger / "kernel-patches" / "10-language.toml", "count = 4", "count = 5")
    with pytest.raises(PortError, match="record toy-fastcall should change 5 places and found 4"):
        own.build()
    assert (own.entries("kernels"), own.entries("work")) == ([], [])


@pytest.mark.parametrize("name", ["nowhere.patch", ""])
def test_patch_that_cannot_be_read_is_a_port_error(bench: Bench, tmp_path: Path, name: str) -> None:
    with pytest.raises(PortError, match="cannot be read"):
        bench.build(patches=(tmp_path / name,))


def test_two_patches_of_one_name_are_two_patches(bench: Bench, tmp_path: Path) -> None:
    keys = set()
    for text in ("one", "two"):
        patches = []
        for folder, inside in (("a", text), ("b", "same")):
            path = tmp_path / text / folder / "mine.patch"
            path.parent.mkdir(parents=True)
            path.write_text(inside)
            patches.append(path)
        keys.add(_key(bench.plan(patches=tuple(patches)), bench))
    assert len(keys) == 2


@pytest.mark.parametrize("change", ["tree", "version", "variant", "kvmd", "cc", "fragment"])
def test_kernel_that_would_differ_has_another_key(bench: Bench, tmp_path: Path, change: str) -> None:
    tree = Tree(TOY_TREE, VERSION, "0" * 64, "toy")
    folder = bench.ledger / "kernel-patches"
    other = {
        "tree": Plan(tree=Tree(TOY_TREE, VERSION, "1" * 64, "toy"), ledger=folder),
        "version": Plan(tree=Tree(TOY_TREE, type(VERSION)("2.3.99-pre4"), "0" * 64, "toy"), ledger=folder),
        "variant": Plan(tree=tree, ledger=folder, variant="smp"),
        "kvmd": Plan(tree=tree, ledger=folder, kvmd=False),
        "cc": Plan(tree=tree, ledger=folder, cc=shutil.which("gcc")),
        "fragment": Plan(tree=tree, ledger=folder, fragments=(fragment(tmp_path, "CONFIG_TOY_HANG=y"),)),
    }[change]
    assert _key(Plan(tree=tree, ledger=folder), bench) != _key(other, bench)


def test_change_of_a_record_for_other_kernels_changes_no_key(bench: Bench, tmp_path: Path) -> None:
    own = bench.own_ledger(tmp_path / "ledger")
    before = _key(own.plan(), own)
    topic = own.ledger / "kernel-patches" / "10-language.toml"
    edit(topic, 'match = "nowhere"', 'match = "elsewhere"')
    assert _key(own.plan(), own) == before
    edit(topic, 'match = "STUB(##x)"', 'match = "STUB( ##x)"')
    assert _key(own.plan(), own) != before


def test_change_of_an_installed_file_changes_the_key(bench: Bench, tmp_path: Path) -> None:
    own = bench.own_ledger(tmp_path / "ledger")
    before = _key(own.plan(), own)
    edit(own.ledger / "kernel-patches" / "files" / "outofline.c", "*target++ =", "*target++  =")
    assert _key(own.plan(), own) != before


def _key(plan: Plan, bench: Bench) -> str:
    """The key of a kernel, found out without building it."""

    keys = []

    def note(_self: object, _kind: str, key: str) -> Path:
        keys.append(key)
        raise InterruptedError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lab.cache.Cache.find", note)
        with pytest.raises(InterruptedError):
            build(plan, bench.settings, Journal())
    return keys[0]


@pytest.mark.parametrize(
    ("number", "what"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EROFS, "the file system is read-only"),
        (errno.EACCES, "permission denied"),
    ],
)
def test_cache_that_cannot_be_written_is_a_host_error(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, number: int, what: str
) -> None:
    plan = bench.plan()

    def trouble(path: Path, *_args: object, **_more: object) -> None:
        raise OSError(number, "trouble", str(path))

    monkeypatch.setattr(Path, "mkdir", trouble)
    with pytest.raises(HostError, match=what):
        build(plan, bench.settings, Journal())


def test_disk_that_fills_up_at_the_end_leaves_no_half_entry(
    warm: Warm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = warm[0].own_ledger(tmp_path / "ledger")
    edit(bench.ledger / "kvmd" / "kvmd.c", "return 41;", "return 44;")
    before = bench.entries("kernels")
    copy = shutil.copyfile

    def full(source: Path, target: Path) -> Path:
        if target.name == "System.map":
            raise OSError(errno.ENOSPC, "No space left on device", str(target))
        return copy(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfile", full)
        with pytest.raises(HostError, match=r"the disk is full \(.*System\.map\)"):
            bench.build()
    assert bench.entries("kernels") == before
    kernel = bench.build()
    assert kernel.read_manifest().compiled == 0
    assert (44).to_bytes(4, "little") in kernel.vmlinux.read_bytes()


def test_manifest_of_another_version_of_the_lab_does_no_harm(warm: Warm, tmp_path: Path) -> None:
    bench = warm[0].own_ledger(tmp_path / "ledger")
    foreign = bench.settings.cache / "kernels" / "foreign"
    foreign.mkdir(exist_ok=True)
    (foreign / "manifest.json").write_text('{"version": 7}')
    edit(bench.ledger / "kvmd" / "kvmd.c", "return 41;", "return 45;")
    assert bench.build().read_manifest().compiled == 1
    totals = {event["total"] for event in bench.events if event["kind"] == "progress"}
    assert totals == {15}
