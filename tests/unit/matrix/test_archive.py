"""Folders that travel: the same bytes for the same folder, and nothing but its files on arrival."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from lab.cache import digest
from lab.errors import InfraError
from lab.journal import Journal
from lab.matrix.archive import Archive, pack, unpack
from lab.matrix.tasks import ship
from lab.settings import Settings
from lab.source import obtain
from tests.unit.build.toykernel import TOY_TREE


def filled(folder: Path) -> Path:
    (folder / "below").mkdir(parents=True)
    (folder / "below" / "one").write_bytes(b"1" * 70_000)
    (folder / "two").touch()
    return folder


def test_files_arrive_as_they_were(tmp_path: Path) -> None:
    unpack(pack(filled(tmp_path / "from")), tmp_path / "to")
    assert (tmp_path / "to" / "below" / "one").read_bytes() == b"1" * 70_000
    assert {path.name for path in (tmp_path / "to").rglob("*")} == {"below", "one", "two"}


def test_same_folder_is_the_same_parcel_at_any_time_in_any_place(tmp_path: Path) -> None:
    one, other = filled(tmp_path / "one"), filled(tmp_path / "other")
    os.utime(other / "two", (1, 1))
    assert pack(one) == pack(other)
    (other / "two").write_text("changed")
    assert pack(one).digest != pack(other).digest


def test_parcel_that_was_damaged_on_its_way_is_refused(tmp_path: Path) -> None:
    archive = pack(filled(tmp_path / "from"))
    with pytest.raises(InfraError, match="arrived damaged"):
        unpack(Archive(archive.digest, archive.data[:-1]), tmp_path / "to")
    assert not (tmp_path / "to").exists()


@pytest.mark.parametrize(
    ("name", "kind"), [("../out", tarfile.REGTYPE), ("/out", tarfile.REGTYPE), ("a", tarfile.SYMTYPE)]
)
def test_what_would_leave_the_folder_is_refused(name: str, kind: bytes, tmp_path: Path) -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname = kind, "/etc" * (kind == tarfile.SYMTYPE)
        tar.addfile(entry)
    with pytest.raises(InfraError, match="cannot be from us"):
        unpack(Archive(digest(data.getvalue()), data.getvalue()), tmp_path / "to")
    assert not (tmp_path / "out").exists()


def test_tree_that_was_sent_is_the_same_tree(tmp_path: Path) -> None:
    settings = Settings(cache=tmp_path / "cache", runs=tmp_path)
    tree = obtain("2.3.99-pre3", tree=TOY_TREE, settings=settings, journal=Journal())
    tarball = tmp_path / "linux.tar.gz"
    tarball.write_bytes(ship(tree, tmp_path / "room").data)
    assert obtain("2.3.99-pre3", tree=tarball, settings=settings, journal=Journal()).digest == tree.digest
