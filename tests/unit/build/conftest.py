from __future__ import annotations

from pathlib import Path

import pytest

from lab.build import Kernel
from lab.build.toolchain import Toolchain, toolchain
from tests.unit.build.toykernel import Bench


@pytest.fixture(scope="session")
def gcc() -> Toolchain:
    return toolchain("gcc")


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bench, Kernel]:
    """The toy, built once, in a cache whose path make cannot bear."""
    bench = Bench(tmp_path_factory.mktemp("toy") / "ein Lager für $(Größeres): 100%")
    return bench, bench.build()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A cache with nothing in it."""
    return Bench(tmp_path / "cache")
