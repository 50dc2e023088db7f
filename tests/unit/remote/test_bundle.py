"""What goes over once."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from lab import resources
from lab.remote import bundle


def test_lab_takes_along_what_a_checkout_needs_to_set_itself_up() -> None:
    files = bundle.own().files
    needed = ("kvmd-lab", "pyproject.toml", "README.md", "LICENSE", "lab/remote/peer.py", "kvmd/kvmd.c")
    assert set(needed) <= set(files)
    assert {name.partition("/")[0] for name in files if "/" in name} == {"lab", "kvmd", "images", "kernel-patches"}
    assert not any("__pycache__" in name for name in files)


def test_installed_package_makes_the_same_bundle_as_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The layout of the wheel, as pyproject.toml describes it."""
    checkout = bundle.own()
    package = tmp_path / "lab"
    for name, path in checkout.files.items():
        inside = (
            name.removeprefix("lab/") if name.startswith("lab/") else f"data/{name if '/' in name else f'top/{name}'}"
        )
        (package / inside).parent.mkdir(parents=True, exist_ok=True)
        (package / inside).write_bytes(path.read_bytes())
    monkeypatch.setattr(resources, "_PACKAGE", package)
    installed = bundle.own()
    assert installed.files.keys() == checkout.files.keys()
    assert (installed.digest, installed.needs) == (checkout.digest, checkout.needs)
    assert all(path.is_relative_to(tmp_path) for path in installed.files.values())


def test_bundle_holds_the_files_with_their_modes() -> None:
    own = bundle.own()
    with tarfile.open(fileobj=own.packed()) as packed:
        members = {member.name: member.mode & 0o111 for member in packed}
        extracted = packed.extractfile("kvmd/kvmd.c")
        assert extracted is not None
        assert extracted.read() == own.files["kvmd/kvmd.c"].read_bytes()
    assert members.keys() == own.files.keys()
    assert members["kvmd-lab"]
