"""The project's own ledger on the real tree."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from lab import source
from lab.journal import Journal
from lab.port import apply, own_ledger, port
from lab.port.copy import copy_tree
from lab.port.ctokens import tokens
from lab.port.engine import STAMP
from lab.port.patches import export
from lab.port.transforms import NAMED
from lab.port.workspace import ENCODING, Workspace
from lab.settings import Settings
from lab.source import Tree
from lab.version import KernelVersion


@pytest.fixture(scope="module")
def ported(real_tree: Tree, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ported copy."""
    target = tmp_path_factory.mktemp("ported") / "linux"
    port(real_tree, target, own_ledger(), (), Journal())
    return target


@pytest.fixture(scope="module")
def series(real_tree: Tree, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The port as patches."""
    target = tmp_path_factory.mktemp("series") / "die Reihe"
    export(real_tree.path, KernelVersion(str(real_tree.version)), own_ledger(), target)
    return target


def changed(tree: Path, series: Path) -> dict[str, bytes | None]:
    """The files that the series names, as they are in `tree`."""
    heads = [
        line.split(" b/")[1]
        for path in series.glob("*.patch")
        for line in path.read_text(encoding=ENCODING).splitlines()
        if line.startswith("diff --git ")
    ]
    return {name: (tree / name).read_bytes() if (tree / name).is_file() else None for name in sorted(set(heads))}


def test_every_record_fits_the_real_tree(real_tree: Tree) -> None:
    done = apply(real_tree.path, KernelVersion(str(real_tree.version)), own_ledger(), write=False)
    assert [each.id for each in done.applied] == [
        each.id for each in own_ledger().records if each.holds_for(KernelVersion(str(real_tree.version)))
    ]


@pytest.mark.parametrize("name", [spec.name for spec in source.kernels()])
def test_every_record_fits_each_release_that_is_at_hand(real_settings: Settings, name: str) -> None:
    if source.locate(name, real_settings) == "download":
        pytest.skip(f"no {name} tree in KVMD_LAB_TREES")
    tree = source.obtain(name, settings=real_settings, journal=Journal())
    version = KernelVersion(str(tree.version))
    done = apply(tree.path, version, own_ledger(), write=False)
    assert [each.id for each in done.applied] == [each.id for each in own_ledger().meant_for(version).records]


@pytest.mark.parametrize("command", [("patch", "-p1", "-i"), ("git", "apply")])
def test_exported_series_applied_by_hand_gives_the_ported_tree(
    real_tree: Tree, ported: Path, series: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    work = tmp_path / "von Hand"
    copy_tree(real_tree.path, work)
    for name in (series / "series").read_text(encoding="utf-8").split():
        argv = [*command, str(series / name)]
        done = subprocess.run(argv, cwd=work, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "fuzz" not in done.stdout
    assert changed(work, series) == changed(ported, series)
    assert sum(1 for _ in work.rglob("*")) == sum(1 for path in ported.rglob("*") if path.name != STAMP)
    shutil.rmtree(work)


def test_every_source_cut_and_joined_stays(ported: Path) -> None:
    for path in [*ported.glob("*/*.c"), *ported.glob("include/*/*.h"), *ported.glob("arch/i386/*/*.c")]:
        text = path.read_bytes().decode(ENCODING)
        assert "".join(token.text for token in tokens(text)) == text, path


def test_transforms_find_nothing_more_in_the_ported_tree(real_tree: Tree, ported: Path) -> None:
    workspace = Workspace(ported)
    for record in own_ledger().meant_for(KernelVersion(str(real_tree.version))).records:
        if record.transform:
            for path in workspace.files(record.files):
                assert NAMED[record.transform](workspace.read(path), workspace, record.options)[1] == 0, path
