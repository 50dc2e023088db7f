"""A kernel that comes in a package of the distribution, of which only a part counts."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import pytest

from lab.errors import SourceError
from lab.journal import Journal
from lab.settings import Settings
from lab.source import Tree, archive, locate, obtain, packaged, shape_of
from lab.version import KernelVersion
from tests.unit.source.toys import MAKEFILE, make_tree, pack

TODAY = "VERSION = 6\nPATCHLEVEL = 1\nSUBLEVEL = 7\nEXTRAVERSION =\n\nall:\n"
SIX_SIX = TODAY.replace("PATCHLEVEL = 1", "PATCHLEVEL = 6")
FIVE_TEN = TODAY.replace("VERSION = 6", "VERSION = 5").replace("PATCHLEVEL = 1", "PATCHLEVEL = 10")


def today(folder: Path, makefile: str = TODAY) -> Path:
    """A whole tree of today, with files that count and files that do not."""
    tree = make_tree(folder, makefile)
    for name in ("drivers/gpu/Kconfig", "drivers/gpu/huge.c", "Documentation/words.rst", "sound/noise.c"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(name)
    (tree / "sound/link.c").symlink_to("noise.c")
    return tree


@pytest.fixture
def packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the package puts its file; nothing is there yet."""
    folder = tmp_path / "usr src"
    folder.mkdir()
    monkeypatch.setattr(packaged, "FOLDER", folder)
    return folder / "linux-source-6.1.tar.xz"


def get(settings: Settings, name: str | None = "6.1", tree: Path | None = None) -> Tree:
    return obtain(name, tree=tree, settings=settings, journal=Journal())


def test_package_gives_the_tree_whatever_its_exact_version(packed: Path, settings: Settings, tmp_path: Path) -> None:
    pack(today(tmp_path / "t"), packed, "xz")
    assert locate("6.1", settings) == "package"
    assert get(settings).version.text == "6.1.7"


def test_only_what_counts_is_unpacked(packed: Path, settings: Settings, tmp_path: Path) -> None:
    pack(today(tmp_path / "t"), packed, "xz")
    tree = get(settings).path
    assert (tree / "drivers/gpu/Kconfig").read_text() == "drivers/gpu/Kconfig"
    assert (tree / "kernel/fork.c").is_file()
    assert not any((tree / name).exists() for name in ("drivers/gpu/huge.c", "Documentation", "sound/link.c"))


def test_folder_and_package_have_one_digest(packed: Path, settings: Settings, tmp_path: Path) -> None:
    tree = today(tmp_path / "t")
    pack(tree, packed, "xz")
    assert get(settings, None, tree).digest == get(settings).digest


def test_changed_file_that_counts_changes_the_digest(settings: Settings, tmp_path: Path) -> None:
    first, second, third = (today(tmp_path / name) for name in "abc")
    (second / "drivers/gpu/huge.c").write_text("other")
    (third / "mm/vmscan.c").write_text("other")
    digests = [get(settings, None, tree).digest for tree in (first, second, third)]
    assert digests[0] == digests[1] != digests[2]


def test_tree_of_which_another_part_counts_now_has_not_changed(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = today(tmp_path / "t")
    shape = shape_of(KernelVersion("6.1.7"))
    assert shape is not None
    before = get(settings, None, tree).digest
    more = msgspec.structs.replace(shape, needed=(*shape.needed, "sound/"))
    monkeypatch.setattr(sys.modules[obtain.__module__], "shape_of", lambda _: more)
    assert get(settings, None, tree).digest != before


def test_updated_package_is_another_tree(packed: Path, settings: Settings, tmp_path: Path) -> None:
    pack(today(tmp_path / "a"), packed, "xz")
    assert get(settings).version.text == "6.1.7"
    pack(today(tmp_path / "b", TODAY.replace("7", "8")), packed, "xz")
    assert get(settings).version.text == "6.1.8"


def test_tree_in_the_users_folder_goes_before_the_package(packed: Path, settings: Settings, tmp_path: Path) -> None:
    pack(today(tmp_path / "t"), packed, "xz")
    trees = tmp_path / "trees"
    today(trees / "mine", TODAY.replace("7", "9"))
    mine = Settings(cache=settings.cache, runs=settings.runs, trees=trees)
    assert locate("6.1", mine) == "tree"
    assert get(mine).version.text == "6.1.9"


@pytest.mark.usefixtures("packed")
@pytest.mark.parametrize(
    ("name", "package", "other"),
    [("6.1", "linux-source-6.1", "any 6.1"), (packaged.CURRENT, "linux-source", "a kernel")],
    ids=["series", "own"],
)
def test_missing_package_is_told_with_what_to_type(settings: Settings, name: str, package: str, other: str) -> None:
    with pytest.raises(SourceError, match="is in ") as caught:
        get(settings, name)
    assert f"apt-get install {package}, " in caught.value.hint
    assert f"give {other} with --tree" in caught.value.hint


def test_series_that_is_not_installed_is_told_with_what_is(packed: Path, settings: Settings, tmp_path: Path) -> None:
    pack(today(tmp_path / "t"), packed, "xz")
    with pytest.raises(SourceError, match=r"no source of 6\.12 is in .*; what is there is 6\.1\n"):
        get(settings, "6.12")
    with pytest.raises(SourceError, match=r"no source of 6\.12"):
        locate("6.12", settings)


def test_newest_source_that_the_lab_can_build_is_the_distributions_own(packed: Path) -> None:
    others = ["6.1.tar.xz", "6.12.tar.xz", "6.8.0.tar.bz2", "5.10.tar.xz", "7.2.patch.xz", "rt.tar.xz", "6.9"]
    for name in others:
        (packed.parent / f"linux-source-{name}").touch()
    assert [each.name for each in packaged.installed()] == ["6.12", "6.8", "6.1"]
    assert packaged.current() == "6.12"


def test_ubuntus_link_into_a_folder_is_taken(packed: Path) -> None:
    """linux-source-6.8.0 of Ubuntu puts its tarball into a folder and a link to it beside."""
    inside = packed.with_name("linux-source-6.8.0") / "linux-source-6.8.0.tar.bz2"
    inside.parent.mkdir()
    inside.touch()
    packed.with_name(inside.name).symlink_to(inside)
    assert [(each.name, each.file.name) for each in packaged.installed()] == [("6.8", inside.name)]


@pytest.mark.usefixtures("packed")
def test_no_source_at_all_is_called_by_the_package_that_brings_one() -> None:
    assert packaged.current() == "linux-source"


def test_package_cut_off_is_refused_and_nothing_kept(packed: Path, settings: Settings, tmp_path: Path) -> None:
    whole = pack(today(tmp_path / "t"), packed, "xz").read_bytes()
    packed.write_bytes(whole[: len(whole) * 9 // 10])
    with pytest.raises(SourceError, match=r"cut off|damaged"):
        get(settings)
    assert not [path for path in settings.cache.glob("source/*") if not path.name.startswith(".lock")]


def test_package_that_lacks_files_is_refused(packed: Path, settings: Settings, tmp_path: Path) -> None:
    tree = today(tmp_path / "t")
    (tree / "kernel/locking/lockdep.c").unlink()
    pack(tree, packed, "xz")
    with pytest.raises(SourceError, match=r"not whole: missing or empty: kernel/locking/lockdep\.c"):
        get(settings)


@pytest.mark.parametrize(
    ("makefile", "trouble"),
    [
        (SIX_SIX, r"is 6\.6\.7 \(so says its Makefile\), but 6\.1 was asked"),
        (MAKEFILE, r"is 2\.3\.99-pre3 \(so says its Makefile\), but 6\.1 was asked for"),
    ],
)
def test_tree_of_another_version_is_not_taken_for_it(
    settings: Settings, tmp_path: Path, makefile: str, trouble: str
) -> None:
    tree = today(tmp_path / "t")
    (tree / "Makefile").write_text(makefile)
    with pytest.raises(SourceError, match=trouble):
        get(settings, "6.1", tree)


def test_tree_of_a_kernel_between_the_eras_is_refused(settings: Settings, tmp_path: Path) -> None:
    tree = today(tmp_path / "t")
    (tree / "Makefile").write_text(FIVE_TEN)
    with pytest.raises(SourceError, match=r"5\.10\.7; the lab knows only kernels >=2\.3\.0,<2\.5\.0 or >=6\.1"):
        get(settings, None, tree)


@pytest.mark.parametrize(
    ("makefile", "name", "trouble"),
    [(FIVE_TEN, None, "the lab knows only kernels"), (SIX_SIX, "6.1", r"but 6\.1 was asked for")],
    ids=["unknown", "another"],
)
def test_tarball_that_will_not_do_is_refused_by_its_makefile_alone(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, makefile: str, name: str | None, trouble: str
) -> None:
    tree = today(tmp_path / "t")
    (tree / "Makefile").write_text(makefile)
    tarball = pack(tree, tmp_path / "linux.tar.xz", "xz")
    monkeypatch.setattr(archive, "unpack", lambda *_, **__: pytest.fail("unpacked"))
    with pytest.raises(SourceError, match=trouble):
        get(settings, name, tarball)


@pytest.mark.parametrize("version", ["6.6", "6.12", "7.2"])
def test_tree_of_any_series_of_today_answers_to_its_name(settings: Settings, tmp_path: Path, version: str) -> None:
    first, second = version.split(".")
    makefile = TODAY.replace("VERSION = 6", f"VERSION = {first}").replace("PATCHLEVEL = 1", f"PATCHLEVEL = {second}")
    assert get(settings, version, today(tmp_path / "t", makefile)).version.text == f"{version}.7"
