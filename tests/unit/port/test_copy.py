from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from lab.errors import HostError, PortError, SourceError
from lab.journal import Journal
from lab.port import load, port
from lab.port.copy import copy_tree
from lab.source import Tree
from lab.source.catalogue import TreeShape
from tests.unit.port.toyport import TOY_LEDGER, TOY_TREE, VERSION, texts


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "Bäume und Wälder"
    kept = "arch/i386/a.c arch/i386/Documentation include/asm-i386/a.h include/asm-generic/a.h include/linux/.git"
    left_out = "Documentation/a arch/alpha/a.c include/asm-alpha/a.h .git/config"
    for name in f"{kept} {left_out} Makefile".split():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (root / "Makefile").chmod(0o755)
    (root / "link").symlink_to("arch/i386")
    return root


def test_copy_holds_what_a_build_for_i386_reads(tree: Path, tmp_path: Path) -> None:
    copy_tree(tree, tmp_path / "copy")
    assert sorted(texts(tmp_path / "copy")) == [
        "Makefile",
        "arch/i386/Documentation",
        "arch/i386/a.c",
        "include/asm-generic/a.h",
        "include/asm-i386/a.h",
        "include/linux/.git",
    ]


def test_copy_keeps_modes_and_links(tree: Path, tmp_path: Path) -> None:
    copy_tree(tree, tmp_path / "copy")
    assert (tmp_path / "copy" / "Makefile").stat().st_mode & 0o777 == 0o755
    assert str((tmp_path / "copy" / "link").readlink()) == "arch/i386"


def test_copy_is_no_link_to_the_pristine_tree(tree: Path, tmp_path: Path) -> None:
    copy_tree(tree, tmp_path / "copy")
    (tmp_path / "copy" / "Makefile").write_text("changed")
    assert (tree / "Makefile").read_text() == "Makefile"


def test_copy_for_a_shape_holds_what_counts_for_it(tree: Path, tmp_path: Path) -> None:
    shape = TreeShape("all", (), (), needed=("arch/i386/", "link"), always=("Make*",))
    copy_tree(tree, tmp_path / "copy", shape)
    assert sorted(texts(tmp_path / "copy")) == ["Makefile", "arch/i386/Documentation", "arch/i386/a.c"]
    assert (tmp_path / "copy/link").readlink() == Path("arch/i386")
    assert not (tmp_path / "copy/include").exists()


def test_port_to_a_folder_that_is_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PortError, match="is there already"):
        port(Tree(TOY_TREE, VERSION, "digest", "toy"), tmp_path, load(TOY_LEDGER), (), Journal())


def test_port_into_the_tree_itself_is_refused(tmp_path: Path) -> None:
    shutil.copytree(TOY_TREE, tmp_path / "tree")
    pristine = Tree(tmp_path / "tree", VERSION, "digest", "toy")
    with pytest.raises(PortError, match="lies inside the tree"):
        port(pristine, tmp_path / "tree" / "ported", load(TOY_LEDGER), (), Journal())
    assert texts(tmp_path / "tree") == texts(TOY_TREE)


def test_file_of_the_tree_that_cannot_be_read_is_no_fault_of_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cp = tmp_path / "bin" / "cp"
    cp.parent.mkdir()
    said = f"cp: cannot open '{TOY_TREE}/Makefile' for reading: {os.strerror(errno.EACCES)}"
    cp.write_text(f'#!/bin/sh\necho "{said}" >&2\nexit 1\n')
    cp.chmod(0o755)
    monkeypatch.setenv("PATH", str(cp.parent))
    with pytest.raises(SourceError, match="Makefile' for reading"):
        copy_tree(TOY_TREE, tmp_path / "copy")


def test_file_that_a_shape_needs_and_that_cannot_be_read_is_no_fault_of_the_cache(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str, _: str) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

    monkeypatch.setattr(shutil, "copy", refuse)
    with pytest.raises(SourceError, match="Makefile Permission denied"):
        copy_tree(tree, tmp_path / "copy", TreeShape("all", (), (), needed=("none",), always=("Make*",)))


@pytest.mark.parametrize(
    ("number", "what"), [(errno.ENOSPC, "the disk is full"), (errno.EROFS, "the file system is read-only")]
)
def test_port_where_nothing_can_be_written_is_a_host_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, what: str
) -> None:
    cp = tmp_path / "bin" / "cp"
    cp.parent.mkdir()
    cp.write_text(f"#!/bin/sh\necho 'cp: error writing a.c: {os.strerror(number)}' >&2\nexit 1\n")
    cp.chmod(0o755)
    monkeypatch.setenv("PATH", str(cp.parent))
    with pytest.raises(HostError, match=what):
        port(Tree(TOY_TREE, VERSION, "digest", "toy"), tmp_path / "ported", load(TOY_LEDGER), (), Journal())
