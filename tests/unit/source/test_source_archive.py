from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import os
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.errors import SourceError
from lab.source.archive import makefile_of, unpack
from lab.source.contents import read_contents
from lab.source.memo import Memo
from lab.source.packed import Limits, Unpacked
from tests.unit.source.toys import MAKEFILE, Member, Packing, file, flipped, pack, raw_tar, special

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "tar": bytes,
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
}
UNPACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.decompress,
    "bz2": bz2.decompress,
    "xz": lzma.decompress,
}
TOP = file("linux/Makefile", MAKEFILE.encode())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "jail" / "entry"
    path.mkdir(parents=True)
    return path


@pytest.fixture
def tarball(tmp_path: Path) -> Path:
    return tmp_path / "k.tar"


def inside(folder: Path) -> set[str]:
    """All that lies in the jail around the folder."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


@pytest.mark.parametrize("packing", ["", "gz", "bz2", "xz"])
def test_tarball_unpacked_has_the_digest_of_the_folder(
    tree: Path, folder: Path, tarball: Path, packing: Packing
) -> None:
    pack(tree, tarball, packing)
    top = unpack(tarball, folder)
    assert top == folder / "linux"
    memo = Memo(folder.parent / "cache")
    assert read_contents(top, memo) == read_contents(tree, memo)


def test_tarball_without_top_folder_unpacks_to_the_folder(tree: Path, folder: Path, tarball: Path) -> None:
    assert unpack(pack(tree, tarball, "", top="."), folder) == folder


def test_tarball_of_several_folders_without_makefile_is_refused(folder: Path, tarball: Path) -> None:
    tarball.write_bytes(raw_tar([file("a/x"), file("b/x")]))
    with pytest.raises(SourceError, match="no kernel tree"):
        unpack(tarball, folder)


@pytest.mark.parametrize("packing", ["gz", "bz2", "xz"])
def test_tarball_of_several_packed_streams_unpacks(folder: Path, tarball: Path, packing: str) -> None:
    data = raw_tar([TOP, file("linux/a", bytes(3000))])
    tarball.write_bytes(PACKERS[packing](data[:1000]) + PACKERS[packing](data[1000:]) + bytes(8))
    assert (unpack(tarball, folder) / "a").read_bytes() == bytes(3000)


HOSTILE: list[tuple[Member, str]] = [
    (file("/etc/evil"), "/etc/evil leads out"),
    (file("linux/../../evil"), r"linux/\.\./\.\./evil leads out"),
    (special("linux/l", tarfile.SYMTYPE, "/etc"), "linux/l is a link that leads out"),
    (special("linux/l", tarfile.SYMTYPE, "../.."), "linux/l is a link that leads out"),
    (special("linux/h", tarfile.LNKTYPE, "../../etc/passwd"), r"etc/passwd leads out"),
    (special("linux/h", tarfile.LNKTYPE, "/etc/passwd"), r"/etc/passwd leads out"),
    (special("linux/h", tarfile.LNKTYPE, "linux/none"), "linux/h is a hard link to linux/none, which is no file"),
    (special("linux/null", tarfile.CHRTYPE), "linux/null is neither"),
    (special("linux/disk", tarfile.BLKTYPE), "linux/disk is neither"),
    (special("linux/pipe", tarfile.FIFOTYPE), "linux/pipe is neither"),
    (file("linux/Makefile"), "linux/Makefile cannot be written"),
    (file("linux/Makefile/x"), "linux/Makefile/x cannot be written"),
    (file("linux/" + "n" * 300), "nnn cannot be written"),
]


@pytest.mark.parametrize(("member", "message"), HOSTILE)
def test_hostile_member_is_refused_by_name_and_nothing_gets_out(
    folder: Path, tarball: Path, member: Member, message: str
) -> None:
    tarball.write_bytes(raw_tar([TOP, member]))
    with pytest.raises(SourceError, match=message):
        unpack(tarball, folder)
    assert inside(folder.parent) <= {"entry", "entry/linux", "entry/linux/Makefile"}


def test_member_under_a_link_is_not_written_through_it(folder: Path, tarball: Path) -> None:
    tarball.write_bytes(raw_tar([TOP, special("linux/l", tarfile.SYMTYPE, "d"), file("linux/l/x"), file("linux/d/y")]))
    with pytest.raises(SourceError, match="linux/l cannot be made"):
        unpack(tarball, folder)
    assert "entry/linux/d/x" not in inside(folder.parent)


def test_link_that_leads_out_through_another_link_is_refused(folder: Path, tarball: Path) -> None:
    deep = special("linux/a/b/up", tarfile.SYMTYPE, "../../..")
    out = special("linux/out", tarfile.SYMTYPE, "a/b/up/../..")
    tarball.write_bytes(raw_tar([TOP, file("linux/a/b/x"), deep, out]))
    with pytest.raises(SourceError, match="linux/out is a link that leads out"):
        unpack(tarball, folder)


def test_link_within_the_tree_is_kept(folder: Path, tarball: Path) -> None:
    tarball.write_bytes(raw_tar([TOP, special("linux/include/asm", tarfile.SYMTYPE, "../Makefile")]))
    assert os.readlink(unpack(tarball, folder) / "include/asm") == "../Makefile"  # noqa: PTH115


def test_hard_link_becomes_a_file_of_its_own(folder: Path, tarball: Path) -> None:
    tarball.write_bytes(raw_tar([TOP, special("linux/copy", tarfile.LNKTYPE, "linux/Makefile")]))
    top = unpack(tarball, folder)
    assert (top / "copy").read_text() == MAKEFILE
    assert (top / "copy").stat().st_ino != (top / "Makefile").stat().st_ino


@pytest.mark.parametrize("packing", PACKERS)
def test_tarball_cut_anywhere_is_refused(tree: Path, tmp_path: Path, tarball: Path, packing: str) -> None:
    whole = PACKERS[packing](pack(tree, tarball, "").read_bytes().rstrip(b"\0") + bytes(1536))
    end = len(whole) - (1536 if packing == "tar" else 0)
    for number, cut in enumerate([*range(0, end - 1, end // 23), end - 1]):
        tarball.write_bytes(whole[:cut])
        folder = tmp_path / f"entry{number}"
        folder.mkdir()
        with pytest.raises(SourceError):
            unpack(tarball, folder)


def test_plain_tarball_cut_between_members_names_the_last_one(folder: Path, tarball: Path) -> None:
    tarball.write_bytes(raw_tar([TOP, file("linux/a", b"x" * 512), file("linux/b")])[: 1024 + 1024])
    with pytest.raises(SourceError, match="at linux/a: it is cut off after this member"):
        unpack(tarball, folder)


def test_header_that_is_damaged_is_not_taken_for_the_end(folder: Path, tarball: Path) -> None:
    data = raw_tar([TOP, file("linux/a", b"x" * 512), file("linux/b")])
    tarball.write_bytes(flipped(data, 1024 + 5))
    with pytest.raises(SourceError, match="at linux/Makefile: what follows this member is damaged"):
        unpack(tarball, folder)


@pytest.mark.parametrize("packing", UNPACKERS)
def test_packed_data_with_a_flipped_bit_are_refused(tree: Path, tmp_path: Path, tarball: Path, packing: str) -> None:
    """But for some bits of gzip's, one of 300, that say the same otherwise: how far back in a row of zeros to copy."""
    plain = pack(tree, tarball, "").read_bytes()
    whole = PACKERS[packing](plain)
    refused = 0
    for where in range(len(whole) // 5, len(whole) - 40, len(whole) // 50):
        tarball.write_bytes(flipped(whole, where))
        with contextlib.suppress(zlib.error, lzma.LZMAError, EOFError, OSError, ValueError):
            if UNPACKERS[packing](tarball.read_bytes()) == plain:
                continue
        folder = tmp_path / f"entry{where}"
        folder.mkdir()
        with pytest.raises(SourceError):
            unpack(tarball, folder)
        refused += 1
    assert refused >= 30


def test_foreign_bytes_after_the_end_are_refused(folder: Path, tarball: Path) -> None:
    tarball.write_bytes(gzip.compress(raw_tar([TOP])) + b"rubbish")
    with pytest.raises(SourceError, match="foreign bytes"):
        unpack(tarball, folder)


def test_file_that_is_no_tarball_is_refused(folder: Path, tarball: Path) -> None:
    tarball.write_bytes(b"<html>" * 500)
    with pytest.raises(SourceError, match="at its start"):
        unpack(tarball, folder)


def test_bomb_by_ratio_is_refused_at_its_member(folder: Path, tarball: Path) -> None:
    tarball.write_bytes(gzip.compress(raw_tar([TOP, file("linux/zeros", bytes(4 << 20))])))
    with pytest.raises(SourceError, match=r"linux/zeros: .* times its size"):
        unpack(tarball, folder, limits=Limits(free=1 << 20))


def test_bomb_by_size_is_refused_before_it_is_written(folder: Path, tarball: Path) -> None:
    tarball.write_bytes(raw_tar([TOP, file("linux/large", bytes(2000))]))
    with pytest.raises(SourceError, match="linux/large: a member of 2000 bytes"):
        unpack(tarball, folder, limits=Limits(one_file=1999))
    assert not (folder / "linux/large").exists()


def test_bomb_by_total_is_refused(folder: Path, tarball: Path) -> None:
    tarball.write_bytes(raw_tar([TOP, file("linux/a", bytes(4000)), file("linux/b", bytes(4000))]))
    with pytest.raises(SourceError, match="linux/b: more bytes"):
        unpack(tarball, folder, limits=Limits(total=8000))


def test_bomb_by_members_is_refused(folder: Path, tarball: Path) -> None:
    tarball.write_bytes(raw_tar([TOP, *(file(f"linux/{n}") for n in range(5))]))
    with pytest.raises(SourceError, match=r"linux/4: .* more than 5 members"):
        unpack(tarball, folder, limits=Limits(members=5))


def test_bomb_by_hard_links_is_refused(folder: Path, tarball: Path) -> None:
    links = [special(f"linux/{n}", tarfile.LNKTYPE, "linux/a") for n in range(3)]
    tarball.write_bytes(raw_tar([TOP, file("linux/a", bytes(4000)), *links]))
    with pytest.raises(SourceError, match=r"linux/2: .*hard links"):
        unpack(tarball, folder, limits=Limits(total=11000))


def test_bomb_in_a_header_is_refused_unread(folder: Path, tarball: Path) -> None:
    huge, _ = special("./@LongLink", tarfile.GNUTYPE_LONGNAME)
    huge.size = 1 << 20
    tarball.write_bytes(raw_tar([TOP])[:1024] + huge.tobuf() + bytes(4096))
    with pytest.raises(SourceError, match="may be a bomb"):
        unpack(tarball, folder)


def test_xz_that_asks_for_too_much_memory_is_refused(folder: Path, tarball: Path) -> None:
    tarball.write_bytes(lzma.compress(raw_tar([TOP])))
    with pytest.raises(SourceError, match=r"damaged .*Memory"):
        unpack(tarball, folder, limits=Limits(memory=1 << 16))


def test_full_disk_is_not_blamed_on_the_tarball(folder: Path, tarball: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int, _data: object) -> int:
        raise OSError(28, "No space left on device")

    tarball.write_bytes(raw_tar([TOP]))
    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space left"):
        unpack(tarball, folder)


def test_disk_that_cannot_be_read_is_not_blamed_on_the_tarball() -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell():
                raise OSError(5, "Input/output error")
            return super().read(size)

    source = Unpacked(Broken(raw_tar([TOP])), 10240, Limits(), lambda _done, _total: None)
    with pytest.raises(OSError, match="Input/output error"):
        source.read(1 << 20)


def test_makefile_is_found_in_a_tarball(tree: Path, tarball: Path) -> None:
    assert makefile_of(pack(tree, tarball, "gz")) == MAKEFILE


def test_tarball_without_makefile_gives_none(tarball: Path) -> None:
    tarball.write_bytes(raw_tar([file("linux/fs/Makefile", b"x"), file("linux/README", b"y")]))
    assert makefile_of(tarball) is None
