from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.cache import Cache
from lab.journal import Journal
from lab.machine.host import Host
from lab.machine.machine import Machine, Setup
from lab.machine.spec import MachineSpec
from lab.settings import Settings

DATA = Path(__file__).parents[2] / "data"
Boot = Callable[..., Machine]


@pytest.fixture(scope="session")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root image that nobody reads."""
    path = tmp_path_factory.mktemp("disk") / "root.img"
    with path.open("wb") as file:
        file.truncate(1 << 20)
    return path


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A cache that all tests of this tier share, as users' runs do."""
    base = tmp_path_factory.mktemp("lab")
    return Settings(cache=base / "cache", runs=base / "runs")


@pytest.fixture
def journal() -> Journal:
    return Journal()


@pytest.fixture
def events(journal: Journal) -> list[dict[str, object]]:
    """What the journal got, as it grows."""
    seen: list[dict[str, object]] = []
    journal.listen(seen.append)
    return seen


@pytest.fixture
def host() -> Host | None:
    """Where the machines run: here."""
    return None


@pytest.fixture
def setup(
    toy_kernel: Path, disk: Path, settings: Settings, journal: Journal, tmp_path: Path, host: Host | None
) -> Callable[..., Setup]:
    """Give what a Machine takes, with `toy` as the guest's way to misbehave."""

    def make(toy: str = "", **spec: int | str) -> Setup:
        append = f"toy={toy}" if toy else ""
        return Setup(
            kernel_image=toy_kernel,
            root=disk,
            system_map=DATA / "console" / "System.map",
            spec=MachineSpec(append=append, swap_mib=4, **spec),  # type: ignore[arg-type]
            settings=settings,
            cache=Cache(settings.cache),
            journal=journal,
            log=tmp_path / "console.log",
            deadline=10.0,
            host=host,
        )

    return make


@pytest.fixture
def machine(setup: Callable[..., Setup]) -> Iterator[Machine]:
    """A well-behaved toy machine, restored."""
    with Machine.restored(**setup()) as made:
        yield made
