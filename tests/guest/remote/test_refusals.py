"""Why a connection does not come about, and how it does: keys of hosts, logins, ways."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from lab.journal import Journal
from lab.remote.address import parse
from lab.remote.backend import RemoteBackend
from lab.remote.connection import Connection, connect
from lab.remote.errors import HostKeyError, LoginError, UnreachableError
from lab.report.plain import line_of
from lab.settings import Settings
from tests.guest.remote.sshd import Sshd, key

SECONDS = 20.0


@pytest.fixture
def server(client: Sshd) -> Sshd:
    return client


def reach(server: Sshd, *, accept: bool = False) -> Connection:
    return connect(parse(server.address), accept_new_key=accept)


def whoami(connection: Connection) -> str:
    with closing(connection):
        return connection.run("id -un").out.strip()


def test_known_key_and_a_key_file_let_us_in(server: Sshd) -> None:
    assert whoami(reach(server)) == server.user.name


def test_unknown_key_is_refused_and_not_stored(server: Sshd) -> None:
    server.known_hosts.write_text("")
    with pytest.raises(HostKeyError, match="its key is not known"):
        reach(server)
    assert server.known_hosts.read_text() == ""


def test_unknown_key_is_stored_when_new_ones_are_accepted(server: Sshd) -> None:
    server.known_hosts.write_text("")
    assert whoami(reach(server, accept=True)) == server.user.name
    kind, text, *_ = Path(f"{server.host_key}.pub").read_text().split()
    assert server.known_hosts.read_text() == f"[127.0.0.1]:{server.port} {kind} {text}\n"
    assert whoami(reach(server)) == server.user.name


@pytest.mark.parametrize("accept", [False, True], ids=["strict", "accepting"])
def test_changed_key_is_refused_whatever_was_asked_for(server: Sshd, tmp_path: Path, accept: bool) -> None:
    server.know(key(tmp_path / "other"))
    before = server.known_hosts.read_text()
    with pytest.raises(HostKeyError, match="somebody may be in between"):
        reach(server, accept=accept)
    assert server.known_hosts.read_text() == before


def test_revoked_key_is_refused_before_anybody_logs_in(server: Sshd) -> None:
    kind, text, *_ = Path(f"{server.host_key}.pub").read_text().split()
    with server.known_hosts.open("a") as file:
        file.write(f"@revoked * {kind} {text}\n")
    before = server.log.read_text().count("Accepted")
    with pytest.raises(HostKeyError, match="its key is revoked"):
        reach(server, accept=True)
    assert server.log.read_text().count("Accepted") == before


def test_key_that_the_server_does_not_know_is_a_login_error(server: Sshd) -> None:
    known = server.authorized.read_text()
    server.authorized.write_text("")
    try:
        with pytest.raises(LoginError, match=f"does not let {server.user.name} in"):
            reach(server)
    finally:
        server.authorized.write_text(known)


@contextmanager
def hidden(path: Path) -> Iterator[Path]:
    """Put a key where nobody looks for it by itself."""
    aside = path.with_name("aside")
    path.rename(aside)
    try:
        yield aside
    finally:
        aside.rename(path)


def test_without_any_key_it_is_a_login_error(server: Sshd) -> None:
    with hidden(server.client_key), pytest.raises(LoginError, match="does not let"):
        reach(server)


def test_key_file_of_the_config_lets_us_in(server: Sshd) -> None:
    config = server.folder / "config"
    with hidden(server.client_key) as aside:
        config.write_text(f"Host 127.0.0.1\n  IdentityFile {aside}\n  IdentitiesOnly yes\n")
        try:
            assert whoami(reach(server)) == server.user.name
        finally:
            config.unlink()


def test_key_of_the_agent_lets_us_in(server: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    end = tmp_path / "agent"
    monkeypatch.setenv("SSH_AUTH_SOCK", str(end))
    with subprocess.Popen(["ssh-agent", "-D", "-a", str(end)], stdout=subprocess.PIPE) as agent:
        try:
            assert agent.stdout is not None
            agent.stdout.readline()  # it listens
            subprocess.run(["ssh-add", "-q", str(server.client_key)], check=True)
            with hidden(server.client_key):
                assert whoami(reach(server)) == server.user.name
        finally:
            agent.terminate()


def test_alias_and_hosts_on_the_way_are_taken_from_the_config(server: Sshd) -> None:
    config = server.folder / "config"
    config.write_text(
        f"Host near far\n  HostName 127.0.0.1\n  Port {server.port}\n  User {server.user.name}\n"
        "Host far\n  ProxyJump near\n"
    )
    try:
        before = server.log.read_text().count("Accepted publickey")
        assert whoami(connect(parse("ssh://far"))) == server.user.name
        assert server.log.read_text().count("Accepted publickey") == before + 2
    finally:
        config.unlink()


def test_without_a_client_it_is_told_that_the_config_is_not_followed(
    server: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = server.folder / "config"
    config.write_text("Host none\n")
    monkeypatch.setenv("PATH", "/nonexistent")
    told: list[str] = []
    journal = Journal()
    journal.listen(lambda event: told.append(line_of(event)))
    there = RemoteBackend(Settings(cache=tmp_path / "cache", runs=tmp_path / "runs", host=server.address), journal)
    try:
        assert there.client.pid
    finally:
        there.close()
        config.unlink()
    assert told[0].startswith(f"note       {config} is not followed (there is no ssh to ask")


def test_closed_port_is_an_unreachable_host(server: Sshd) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(UnreachableError, match="refused"):
            connect(parse(f"ssh://{server.user.name}@127.0.0.1:{closed.getsockname()[1]}"))


def test_somebody_who_does_not_speak_ssh_is_an_unreachable_host(server: Sshd) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:

        def serve() -> None:
            end, _ = other.accept()
            with end:
                end.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(UnreachableError, match="connecting to"):
            connect(parse(f"ssh://{server.user.name}@127.0.0.1:{other.getsockname()[1]}"))
        thread.join(SECONDS)
