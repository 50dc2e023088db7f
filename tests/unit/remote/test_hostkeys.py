"""Keys of hosts: unknown ones refused or stored, changed and revoked ones refused always."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from paramiko import ECDSAKey, HostKeys, PKey

from lab.errors import HostError
from lab.remote import hostkeys
from lab.remote.address import Address, Target, resolve
from lab.remote.errors import HostKeyError

NOBODY: Any = None


@pytest.fixture(scope="module")
def keys() -> list[PKey]:
    return [ECDSAKey.generate(bits=bits) for bits in (256, 256, 384)]


@pytest.fixture
def target(tmp_path: Path) -> Target:
    (tmp_path / "config").write_text("Host *\n  GlobalKnownHostsFile none\n")
    return resolve(Address("box", "me", 2222), tmp_path)


def line(key: PKey, name: str = "[box]:2222", mark: str = "") -> str:
    return f"{mark}{name} {key.get_name()} {key.get_base64()}\n"


def test_unknown_key_is_refused_with_its_fingerprint_and_what_to_do(target: Target, keys: list[PKey]) -> None:
    with pytest.raises(HostKeyError) as caught:
        hostkeys.Policy(target, accept=False).missing_host_key(NOBODY, "box", keys[0])
    assert keys[0].fingerprint in str(caught.value)
    assert "--accept-new-host-key" in caught.value.hint
    assert not target.known_hosts[0].exists()


def test_accepted_key_is_known_from_then_on(target: Target, keys: list[PKey]) -> None:
    hostkeys.Policy(target, accept=True).missing_host_key(NOBODY, "box", keys[0])
    assert hostkeys.known(target) == {keys[0].get_name(): keys[0]}


def test_storing_a_key_changes_no_other_line_and_is_done_once(target: Target, keys: list[PKey]) -> None:
    before = "# mine\n@cert-authority *.example ssh-ed25519 AAAA\nother ssh-rsa AAAA no newline"
    target.known_hosts[0].write_text(before)
    for _ in range(2):
        hostkeys.store(target, keys[0])
    assert target.known_hosts[0].read_text() == f"{before}\n{line(keys[0])}"


def test_key_is_looked_up_by_host_and_port(target: Target, keys: list[PKey]) -> None:
    target.known_hosts[0].write_text(line(keys[0], "box") + line(keys[2], "[box]:2222"))
    assert hostkeys.known(target) == {keys[2].get_name(): keys[2]}


def test_lines_that_cannot_be_read_hide_no_others(target: Target, keys: list[PKey]) -> None:
    strange = "@cert-authority * ssh-ed25519 AAAA\n# mine\n\nhalf a line\nbox ssh-ed25519 no/base64!\n"
    target.known_hosts[0].write_text(strange + line(keys[0], "other,[box]:2222"))
    assert hostkeys.known(target) == {keys[0].get_name(): keys[0]}


def test_hashed_name_is_understood(target: Target, keys: list[PKey]) -> None:
    target.known_hosts[0].write_text(line(keys[0], HostKeys.hash_host("[box]:2222")))
    assert hostkeys.known(target) == {keys[0].get_name(): keys[0]}


def test_first_file_that_knows_a_kind_of_key_holds(target: Target, keys: list[PKey]) -> None:
    target.known_hosts[0].write_text(line(keys[0]))
    target.known_hosts[1].write_text(line(keys[1]) + line(keys[2]))
    assert hostkeys.known(target) == {keys[0].get_name(): keys[0], keys[2].get_name(): keys[2]}


def test_changed_key_names_both_and_the_file(target: Target, keys: list[PKey]) -> None:
    target.known_hosts[0].touch()
    text = str(hostkeys.changed(target, keys[0], keys[1]))
    assert keys[0].fingerprint in text
    assert keys[1].fingerprint in text
    assert f"ssh-keygen -R '[box]:2222' ({target.known_hosts[0]})" in text


@pytest.mark.parametrize("accept", [False, True])
def test_revoked_key_is_neither_known_nor_stored(target: Target, keys: list[PKey], accept: bool) -> None:
    target.known_hosts[0].write_text(line(keys[0]))
    target.known_hosts[1].write_text(line(keys[0], name="*", mark="@revoked "))
    assert hostkeys.known(target) == {}
    with pytest.raises(HostKeyError, match=r"revoked, says .*known_hosts2"):
        hostkeys.Policy(target, accept=accept).missing_host_key(NOBODY, "box", keys[0])
    assert target.known_hosts[0].read_text() == line(keys[0])


def test_key_is_never_stored_among_everybodys(keys: list[PKey], tmp_path: Path) -> None:
    (tmp_path / "config").write_text(f"Host *\n  UserKnownHostsFile none\n  GlobalKnownHostsFile {tmp_path}/all\n")
    with pytest.raises(HostKeyError, match="leaves no place for it"):
        hostkeys.store(resolve(Address("box"), tmp_path), keys[0])
    assert not (tmp_path / "all").exists()


def test_key_that_cannot_be_stored_is_a_host_error(keys: list[PKey], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HostError, match="storing the key of me@box:2222"):
        hostkeys.store(resolve(Address("box", "me", 2222), tmp_path / "file" / ".ssh"), keys[0])
