"""A real SSH server on loopback, and a lab on the other side of it that is set up once for all tests."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.journal import Journal
from lab.machine.host import Host
from lab.process import require
from lab.remote.backend import RemoteBackend
from lab.settings import Settings
from tests.guest.machine.conftest import disk, events, journal, machine, setup  # noqa: F401 - as there
from tests.guest.remote.sshd import Sshd

SILENCE = 3.0


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """The server, with the lab set up in its user's cache."""
    require("sshd", "openssh-server", "testing other hosts")
    with Sshd() as made:
        with pytest.MonkeyPatch.context() as patch:
            use(made, patch)
            base = tmp_path_factory.mktemp("first")
            first = RemoteBackend(Settings(cache=base / "cache", runs=base / "runs", host=made.address), Journal())
            assert first.client.pid
            first.close()
        yield made


def use(server: Sshd, patch: pytest.MonkeyPatch) -> None:
    """Let this process, and what it starts, be the server's client."""
    server.know(server.host_key)
    patch.setenv("HOME", str(server.folder.parent))
    for name in ("SSH_AUTH_SOCK", "KVMD_LAB_HOST", "PYTEST_ADDOPTS"):
        patch.delenv(name, raising=False)


@pytest.fixture
def client(server: Sshd, monkeypatch: pytest.MonkeyPatch) -> Sshd:
    """The server, with a client's folder that knows it."""
    use(server, monkeypatch)
    return server


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory, server: Sshd) -> Settings:
    """Of a lab whose machines run on the other side."""
    base = tmp_path_factory.mktemp("lab")
    return Settings(cache=base / "cache", runs=base / "runs", host=server.address)


@pytest.fixture(scope="module")
def there(server: Sshd, settings: Settings) -> Iterator[RemoteBackend]:
    """A connection for all tests of a module; nothing is left when it ends."""
    before = server.user.files()
    with pytest.MonkeyPatch.context() as patch:
        use(server, patch)
        made = RemoteBackend(settings, Journal())
        assert made.client.pid
    yield made
    made.close()
    assert (server.settled(), server.user.files()) == ([], before)


@pytest.fixture
def host(there: RemoteBackend) -> Host:
    """Where the machines run: on the other side."""
    return there.host()


@pytest.fixture
def own(client: Sshd, settings: Settings) -> Iterator[RemoteBackend]:
    """A connection of the test's own, which may be cut; nothing is left afterwards."""
    before = client.user.files()
    made = RemoteBackend(settings, Journal(), SILENCE)
    yield made
    made.close()
    assert (client.settled(), client.user.files()) == ([], before)


def copy_to(server: Sshd, entry: Path, kind: str) -> None:
    """Put an entry of a cache here into the one over there."""
    target = server.user.cache / kind / entry.name
    if not target.exists():
        shutil.copytree(entry, target)
        server.user.own(target.parent)
