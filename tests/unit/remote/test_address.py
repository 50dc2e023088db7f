"""An address and ~/.ssh/config, to where the connection goes."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.errors import UsageError
from lab.remote.address import Address, parse, resolve


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("ssh://box", Address("box")),
        ("ssh://box/", Address("box")),
        ("ssh://me@box.example:2222", Address("box.example", "me", 2222)),
        ("ssh://me@[::1]:22", Address("::1", "me", 22)),
        ("ssh://10.0.0.7", Address("10.0.0.7")),
    ],
)
def test_address_is_read(text: str, address: Address) -> None:
    assert parse(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "box",
        "me@box",
        "http://box",
        "ssh://",
        "ssh://box:",
        "ssh://box:0",
        "ssh://box:65536",
        "ssh://box/path",
        "ssh://-o",
    ],
)
def test_address_of_another_form_is_a_usage_error_that_shows_the_form(text: str) -> None:
    with pytest.raises(UsageError, match="ssh://user@box:port"):
        parse(text)


def test_password_in_an_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(UsageError, match="has a password in it") as caught:
        parse("ssh://me:secret@box")
    assert "secret" not in str(caught.value)


def test_without_a_config_the_names_are_those_that_were_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "somebody")
    target = resolve(Address("box"), tmp_path)
    assert (target.host, target.user, target.port, target.known_as) == ("box", "somebody", 22, "box")
    assert target.known_hosts[0] == tmp_path / "known_hosts"
    assert (target.keys, target.jumps, target.proxy_command) == ((), (), "")


def test_another_port_is_part_of_the_name_in_known_hosts(tmp_path: Path) -> None:
    assert resolve(Address("box", "me", 2222), tmp_path).known_as == "[box]:2222"


def configured(folder: Path, *lines: str) -> Path:
    (folder / "config").write_text("Host box\n" + "".join(f"  {line}\n" for line in lines))
    return folder


def test_config_names_host_user_port_keys_and_known_hosts(tmp_path: Path) -> None:
    folder = configured(
        tmp_path,
        "HostName 10.0.0.7",
        "User me",
        "Port 2222",
        f"IdentityFile {tmp_path}/one",
        f"IdentityFile {tmp_path}/two",
        "IdentitiesOnly yes",
        f"UserKnownHostsFile {tmp_path}/mine",
        "GlobalKnownHostsFile none",
    )
    target = resolve(Address("box"), folder)
    assert (target.host, target.user, target.port, target.known_as) == ("10.0.0.7", "me", 2222, "[10.0.0.7]:2222")
    assert (target.keys, target.only_these) == ((tmp_path / "one", tmp_path / "two"), True)
    assert target.known_hosts == (tmp_path / "mine",)


def test_what_was_typed_goes_before_the_config(tmp_path: Path) -> None:
    target = resolve(Address("box", "other", 7), configured(tmp_path, "User me", "Port 2222"))
    assert (target.user, target.port) == ("other", 7)


def test_alias_for_the_key_is_its_name(tmp_path: Path) -> None:
    assert resolve(Address("box"), configured(tmp_path, "HostKeyAlias farm", "Port 2222")).known_as == "farm"


def test_hosts_on_the_way_are_read_in_their_order(tmp_path: Path) -> None:
    target = resolve(Address("box"), configured(tmp_path, "ProxyJump me@one:22,two"))
    assert target.jumps == (Address("one", "me", 22), Address("two"))


def test_program_that_connects_is_taken_with_its_words(tmp_path: Path) -> None:
    target = resolve(Address("box"), configured(tmp_path, "Port 7", "ProxyCommand nc %h %p"))
    assert target.proxy_command == "nc box 7"


@pytest.mark.parametrize("line", ["ProxyJump none", "ProxyCommand none"])
def test_none_is_no_way(tmp_path: Path, line: str) -> None:
    target = resolve(Address("box"), configured(tmp_path, line))
    assert (target.jumps, target.proxy_command) == ((), "")


def test_config_that_cannot_be_understood_is_a_usage_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("Host\nMatch nonsense\n")
    with pytest.raises(UsageError, match="config cannot be understood"):
        resolve(Address("box"), tmp_path)
