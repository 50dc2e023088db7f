"""The disks: what is on them, and what happens when they can't be made."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest

from lab.cache import Cache
from lab.errors import HostError, UsageError
from lab.image import Image, build, ext2, listing, programs, swap_disk, tools
from lab.journal import Journal
from lab.resources import folder
from lab.settings import Settings
from lab.sizes import DEFAULT_SWAP_MIB

EMPTY = "8f6ad96edc711eadcf2219a678f4a5c68543627862132253ac8cfeffed270e4b"
DEBUGFS = shutil.which("debugfs", path="/usr/sbin:/sbin:/usr/bin") or "debugfs"


def settings_in(place: Path) -> Settings:
    return Settings(cache=place, runs=place / "runs")


def build_in(place: Path, swap_mib: int = DEFAULT_SWAP_MIB) -> Image:
    return build(settings_in(place), Cache(place), Journal(), swap_mib=swap_mib)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return build_in(tmp_path_factory.mktemp("cäche with spaces"))


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs of a few bytes, where a test is about something else."""

    def compile_program(_: tools.Tools, name: str, __: tuple[str, ...], ___: tuple[Path, ...], out: Path) -> Path:
        out.write_text(name)
        return out

    monkeypatch.setattr(programs, "compile_program", compile_program)


def debugfs(disk: Path, command: str) -> str:
    done = subprocess.run([DEBUGFS, "-R", command, disk], capture_output=True, text=True, check=True)
    return done.stdout


def entries_left(place: Path) -> list[str]:
    return [item.name for item in (place / "image").iterdir() if not item.name.startswith(".lock-")]


def test_each_node_of_the_manifest_is_on_the_root_disk(image: Image) -> None:
    listed = listing.read(folder("images") / "root.toml")
    found = {}
    for place in listed.nodes:
        text = debugfs(image.root, f"stat {place}")
        kind = re.search(r"Type: (block special|character special|FIFO) +Mode: +0600", text)
        numbers = re.findall(r"Device major/minor number: (\d+):(\d+)", text) or [(0, 0)]
        assert kind is not None, text
        found[place] = ({"FIFO": "p"}.get(kind[1], kind[1][0]), *map(int, numbers[0]))
    assert found == listed.nodes


def test_programs_on_the_root_disk_are_the_built_ones_and_executable(image: Image, tmp_path: Path) -> None:
    assert set(image.programs) == {"/sbin/init", "/sbin/agent", "/sbin/worker"}
    for place, program in image.programs.items():
        copy = tmp_path / program.name
        debugfs(image.root, f"dump {place} {copy}")
        assert copy.read_bytes() == program.read_bytes()
        assert re.search(r"Type: regular +Mode: +0755", debugfs(image.root, f"stat {place}"))


def test_root_disk_has_only_what_a_kernel_of_2000_understands(image: Image) -> None:
    superblock = image.root.read_bytes()[1024:2048]
    revision = int.from_bytes(superblock[76:80], "little")
    features = superblock[92:104]
    assert (revision, features) == (0, bytes(12))


def test_empty_root_disk_is_the_same_bytes_whatever_the_hosts_tools_and_their_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The digest is from e2fsprogs 1.47.0, 1.47.2 and 1.47.4; another one has changed its ways."""
    own = tmp_path / "mke2fs.conf"
    own.write_text("[defaults]\n\tbase_features = sparse_super,dir_index\n\tdefault_mntopts = journal_data\n")
    monkeypatch.setenv("MKE2FS_CONFIG", str(own))
    found = tools.find("gcc", tmp_path / "log", Journal())
    nothing = listing.Listing(size_kib=1024, folders=(), programs={}, nodes={})
    disk = ext2.root_disk(found, nothing, {}, tmp_path / "root.img")
    assert hashlib.sha256(disk.read_bytes()).hexdigest() == EMPTY


def test_programs_need_no_interpreter_and_no_newer_cpu(image: Image) -> None:
    for program in image.programs.values():
        listing = subprocess.run(["objdump", "-pd", program], capture_output=True, text=True, check=True).stdout
        assert "INTERP" not in listing
        assert re.findall(r"\t(cmov\w+|endbr32|movap[sd]|sysenter)\b", listing) == []


def test_compiler_says_nothing_about_the_sources(image: Image) -> None:
    log = image.root.parents[2] / "logs" / "image.log"
    assert "-Wextra" in log.read_text()
    assert [line for line in log.read_text().splitlines() if "warning:" in line] == []


def test_second_build_elsewhere_gives_the_same_bytes(image: Image, tmp_path: Path) -> None:
    again = build_in(tmp_path)
    assert again.key == image.key
    for one, other in ((image.root, again.root), (image.swap, again.swap)):
        assert hashlib.sha256(one.read_bytes()).digest() == hashlib.sha256(other.read_bytes()).digest()


def test_build_with_nothing_changed_takes_the_entry_of_the_cache(image: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "compile_program", lambda *_: pytest.fail("compiled again"))
    assert build_in(image.root.parents[2]) == image


@pytest.mark.usefixtures("no_compiler")
def test_another_size_of_swap_is_another_image(image: Image, tmp_path: Path) -> None:
    other = build_in(tmp_path, swap_mib=3)
    assert other.key != image.key
    assert other.swap.stat().st_size == 3 << 20


@pytest.mark.usefixtures("no_compiler")
def test_interrupted_build_leaves_no_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ext2, "root_disk", interrupted)
        with pytest.raises(KeyboardInterrupt):
            build_in(tmp_path)
    assert entries_left(tmp_path) == []
    assert build_in(tmp_path).root.is_file()


def test_program_that_does_not_compile_is_named_with_the_compilers_words(tmp_path: Path) -> None:
    (tmp_path / "broken.c").write_text("int main(void) { return nothing_of_that_name; }\n")
    found = tools.find("gcc", tmp_path / "log", Journal())
    with pytest.raises(HostError, match="does not build the guest's program /sbin/broken") as caught:
        programs.compile_program(found, "/sbin/broken", ("broken.c",), (tmp_path,), tmp_path / "broken")
    assert "nothing_of_that_name" in str(caught.value)
    assert "KVMD_LAB_CC" in caught.value.hint


def test_debugfs_that_refuses_a_command_is_an_error(tmp_path: Path) -> None:
    found = tools.find("gcc", tmp_path / "log", Journal())
    listed = listing.Listing(size_kib=256, folders=("/dev",), programs={}, nodes={"/nowhere/null": ("c", 1, 3)})
    with pytest.raises(HostError, match="debugfs refused a command"):
        ext2.root_disk(found, listed, {}, tmp_path / "root.img")


@pytest.mark.parametrize(("tool", "package"), [("mke2fs", "e2fsprogs"), ("debugfs", "e2fsprogs"), ("gcc", "gcc")])
def test_missing_tool_is_an_error_that_names_the_package(
    tool: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    which = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name, path=None: None if name == tool else which(name, path=path))
    with pytest.raises(HostError, match=f"{tool} is not installed") as caught:
        build_in(tmp_path)
    assert caught.value.hint == f"apt-get install {package}"


def test_unwritable_cache_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "image.log").symlink_to("/proc/sys/kernel/ostype")  # read-only even for root
    with pytest.raises(HostError, match="permission denied") as caught:
        build_in(tmp_path)
    assert "KVMD_LAB_CACHE" in caught.value.hint


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"nodes": {"/dev/null": ["c", 1, 256]}}, "<= 255"),
        ({"nodes": {"/dev/null": ["x", 1, 3]}}, "enum|literal|Invalid"),
        ({"nodes": {"/dev/a b": ["c", 1, 3]}}, "regex"),
        ({"nodes": {"/elsewhere/null": ["c", 1, 3]}}, "is in no folder"),
        ({"colour": 1}, "colour"),
    ],
)
def test_wrong_manifest_is_an_error_that_says_where(tmp_path: Path, change: dict[str, object], complaint: str) -> None:
    path = tmp_path / "root.toml"
    path.write_bytes(msgspec.toml.encode({"size_kib": 512, "folders": ["/dev"], "programs": {}, "nodes": {}} | change))
    with pytest.raises(UsageError, match=complaint) as caught:
        listing.read(path)
    assert str(path) in caught.value.doing


def test_swap_disk_is_sparse_with_a_version_1_header(tmp_path: Path) -> None:
    disk = swap_disk(tmp_path / "swap.img", 16)
    first = disk.read_bytes()[:4096]
    assert disk.stat().st_size == 16 << 20
    assert disk.stat().st_blocks * 512 <= 64 << 10
    assert first[4086:] == b"SWAPSPACE2"
    assert first[1024:1036] == bytes.fromhex("01000000 ff0f0000 00000000")


@pytest.mark.parametrize("mebibytes", [0, -1, 2048])
def test_swap_disk_of_an_impossible_size_is_refused(tmp_path: Path, mebibytes: int) -> None:
    with pytest.raises(UsageError, match="MiB can't be"):
        swap_disk(tmp_path / "swap.img", mebibytes)
    assert not (tmp_path / "swap.img").exists()
