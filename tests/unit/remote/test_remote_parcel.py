"""What goes over once."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from lab import resources
from lab.remote import parcel
from lab.source import Tree
from lab.version import KernelVersion


def test_lab_takes_along_what_a_checkout_needs_to_set_itself_up() -> None:
    files = parcel.own().files
    needed = ("kvmd-lab", "pyproject.toml", "README.md", "LICENSE", "lab/remote/keeper.py", "kvmd/kvmd.c")
    assert set(needed) <= set(files)
    assert {name.partition("/")[0] for name in files if "/" in name} == {"lab", "kvmd", "images", "kernel-patches"}
    assert not any("__pycache__" in name for name in files)


def test_installed_package_makes_the_same_parcel_as_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The layout of the wheel, as pyproject.toml describes it."""
    checkout = parcel.own()
    package = tmp_path / "lab"
    for name, path in checkout.files.items():
        inside = (
            name.removeprefix("lab/") if name.startswith("lab/") else f"data/{name if '/' in name else f'top/{name}'}"
        )
        (package / inside).parent.mkdir(parents=True, exist_ok=True)
        (package / inside).write_bytes(path.read_bytes())
    monkeypatch.setattr(resources, "_PACKAGE", package)
    installed = parcel.own()
    assert installed.files.keys() == checkout.files.keys()
    assert (installed.digest, installed.needs) == (checkout.digest, checkout.needs)
    assert all(path.is_relative_to(tmp_path) for path in installed.files.values())


def test_parcel_holds_the_files_with_their_modes() -> None:
    own = parcel.own()
    with tarfile.open(fileobj=own.packed()) as packed:
        members = {member.name: member.mode & 0o111 for member in packed}
        extracted = packed.extractfile("kvmd/kvmd.c")
        assert extracted is not None
        assert extracted.read() == own.files["kvmd/kvmd.c"].read_bytes()
    assert members.keys() == own.files.keys()
    assert members["kvmd-lab"]


def test_tree_goes_over_with_the_files_that_count_and_links(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "init").mkdir(parents=True)
    (tree / "init" / "main.c").write_text("int main;\n")
    (tree / "link").symlink_to("init/main.c")
    made = Tree(tree, KernelVersion("2.3.99-pre3"), "abc", "here")
    with parcel.packed_tree(made, tmp_path / "cache") as file, tarfile.open(fileobj=file) as packed:
        assert packed.getnames() == ["linux/init/main.c", "linux/link"]
        assert packed.getmember("linux/link").linkname == "init/main.c"
    assert list((tmp_path / "cache").iterdir()) == []
