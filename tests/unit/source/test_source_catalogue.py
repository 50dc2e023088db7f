from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from lab.source import catalogue, kernels
from lab.source.catalogue import without_records
from lab.version import KernelVersion


@pytest.fixture
def own_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "kernels.toml"
    monkeypatch.setattr(catalogue, "_FILE", path)
    monkeypatch.setattr(catalogue, "_catalogue", catalogue._catalogue.__wrapped__)
    monkeypatch.setattr(catalogue, "kernels", catalogue.kernels.__wrapped__)
    return path


def test_kernels_named_in_order_of_appearance() -> None:
    expected = [f"2.3.99-pre{n}" for n in range(1, 10)] + [f"2.4.0-test{n}" for n in range(1, 13)]
    expected += ["2.4.0-prerelease", "2.4.0"]
    assert [spec.name for spec in kernels()] == expected


def test_kernel_release_paths_are_relative_to_the_mirror() -> None:
    spec = catalogue.find("2.4.0-test11")
    assert spec is not None
    assert spec.files == tuple(f"v2.4/old-test-kernels/linux-2.4.0-test11.tar.{end}" for end in ("xz", "gz", "bz2"))


def test_unknown_field_in_the_file_is_refused(own_file: Path) -> None:
    own_file.write_text('packings = ["gz"]\nkernels = {}\nshape = []\nkernles = {}\n')
    with pytest.raises(msgspec.ValidationError, match="kernles"):
        catalogue.kernels()


def test_kernels_written_out_of_order_are_sorted(own_file: Path) -> None:
    own_file.write_text(
        'packings = []\nseries = "all"\nshape = []\n[kernels]\n"2.4.0-test10" = "a"\n"2.4.0-test9" = "b"\n'
    )
    assert [spec.name for spec in catalogue.kernels()] == ["2.4.0-test9", "2.4.0-test10"]


@pytest.mark.parametrize(
    ("version", "near"),
    [
        ("2.3.20", "2.3.99-pre1"),
        ("2.4.20", "2.4.0"),
        ("2.4.0-test1-ac3", "2.4.0-test1, 2.4.0-test2"),
        ("2.3.99-pre3", None),
        ("6.12.117", None),
    ],
)
def test_release_without_records_has_neighbours_that_have_some(version: str, near: str | None) -> None:
    wanted = f"no records were written for {version}; the nearest releases that have some: {near}" if near else ""
    assert without_records(KernelVersion(version)) == wanted
