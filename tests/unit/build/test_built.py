"""A kernel that was built before serves wherever its folder is, without a tree."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest

from lab.build import Kernel, built, find
from lab.errors import UsageError
from lab.journal import Journal
from lab.scenario.subject import Subject
from lab.scenario.workbench import Workbench
from lab.settings import Settings
from tests.unit.build.toykernel import Bench


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("bench") / "cache")


@pytest.fixture(scope="module")
def kernel(bench: Bench) -> Kernel:
    assert find(bench.plan(), bench.settings) is None, "nothing was built"
    return bench.build()


@pytest.fixture
def elsewhere(kernel: Kernel, tmp_path: Path) -> Path:
    """The kernel's folder, on its way to another machine."""
    return shutil.copytree(kernel.manifest.parent, tmp_path / kernel.key)


def test_kernel_is_found_by_its_plan_and_by_its_folder(bench: Bench, kernel: Kernel) -> None:
    same = msgspec.structs.replace(kernel, fresh=False)
    assert find(bench.plan(), bench.settings) == same
    assert built(kernel.manifest.parent) == same
    assert find(bench.plan(variant="smp"), bench.settings) is None


def test_folder_without_a_kernel_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no built kernel"):
        built(tmp_path)


def test_no_tree_is_needed_for_it(elsewhere: Path, tmp_path: Path) -> None:
    settings = Settings(cache=tmp_path / "cache", runs=tmp_path, mirrors=())
    with Workbench(Subject(name="2.3.99-pre3", built=elsewhere), settings, Journal()) as workbench:
        assert str(workbench.version) == "2.3.99-pre3"
        assert workbench.kernel().bzimage == elsewhere / "bzImage"
        assert workbench.spec().ram_mib == 16
        with pytest.raises(UsageError, match="a kernel for one processor"):
            workbench.kernel("smp")
