"""An address and ~/.ssh/config, to where the connection goes."""

from __future__ import annotations

import os
import select
from pathlib import Path

import pytest

from lab.errors import UsageError
from lab.remote import sshconfig
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


@pytest.fixture
def no_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")


def test_included_file_is_followed(tmp_path: Path) -> None:
    (tmp_path / "more").write_text("Host box\n  HostName 10.0.0.7\n")
    (tmp_path / "config").write_text(f"Include {tmp_path}/more\n")
    assert resolve(Address("box"), tmp_path).host == "10.0.0.7"


def test_match_holds_only_where_it_matches(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("Match exec false\n  Port 7\nMatch user me\n  Port 8\n")
    assert (resolve(Address("box"), tmp_path).port, resolve(Address("box", "me"), tmp_path).port) == (22, 8)


def test_usual_key_files_are_not_named_as_if_they_were_chosen(tmp_path: Path) -> None:
    assert resolve(Address("box"), configured(tmp_path, "Port 7")).keys == ()
    assert resolve(Address("box"), configured(tmp_path, "IdentitiesOnly yes")).keys != ()


def test_home_folder_is_the_one_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / ".ssh"
    folder.mkdir()
    configured(folder, "IdentityFile ~/one", "IdentityFile %d/two-%h", "Port 7")
    target = resolve(Address("box", "me"))
    assert (target.port, target.keys) == (7, (tmp_path / "one", tmp_path / "two-box"))
    assert target.known_hosts[0] == folder / "known_hosts"


def test_words_of_the_connecting_program_are_filled_in(tmp_path: Path) -> None:
    folder = configured(tmp_path, "HostName 10.0.0.7", "Port 7", "User me", "ProxyCommand go %r@%h:%p %n 100%%")
    assert resolve(Address("box"), folder).proxy_command == "go me@10.0.0.7:7 box 100%"


def test_file_name_with_a_blank_is_one_name(tmp_path: Path) -> None:
    folder = configured(
        tmp_path, f'UserKnownHostsFile "{tmp_path}/my hosts" {tmp_path}/others', "GlobalKnownHostsFile none"
    )
    assert resolve(Address("box"), folder).known_hosts == (tmp_path / "my hosts", tmp_path / "others")


def test_client_that_hangs_is_a_usage_error_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sshconfig, "CLIENT_SECONDS", 0.5)
    os.mkfifo(tmp_path / "held")
    (tmp_path / "config").write_text(f'Match exec "exec 3>{tmp_path}/held; read line </dev/zero"\n')
    end = os.open(tmp_path / "held", os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(end) as held:
        with pytest.raises(UsageError, match="no answer within"):
            resolve(Address("box"), tmp_path)
        assert select.select([held], [], [], 20.0)[0]  # nobody holds its other end any more
        assert held.read() == ""


@pytest.mark.usefixtures("no_client")
def test_without_a_client_the_config_is_not_followed_which_is_said(tmp_path: Path) -> None:
    assert resolve(Address("box"), tmp_path).notes == ()
    target = resolve(Address("box"), configured(tmp_path, "Port 7"))
    assert (target.port, target.known_hosts[0]) == (22, tmp_path / "known_hosts")
    (note,) = target.notes
    assert f"{tmp_path}/config is not followed (there is no ssh to ask: apt-get install openssh-client)" in note
