"""`ssh://user@box:port` and what ~/.ssh/config says of that box, turned into where to connect and as whom."""

from __future__ import annotations

import getpass
import re
from pathlib import Path

import msgspec

from lab.errors import UsageError
from lab.remote.sshconfig import look_up

PORT = 22
_FORM = re.compile(
    r"ssh://(?:(?P<user>[^@:/?#]+)@)?(?P<host>[A-Za-z0-9][\w.-]*|\[[0-9A-Fa-f:.]+\])(?::(?P<port>\d{1,5}))?/?"
)
_JUMP = re.compile(r"(?:(?P<user>[^@,]+)@)?(?P<host>[\w.-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>\d{1,5}))?")
_HINT = "ssh://user@box:port; user and port may be left out"


class Address(msgspec.Struct, frozen=True):
    """What somebody typed: `host` is a name, an IP address, or an alias of ~/.ssh/config."""

    host: str
    user: str | None = None
    port: int | None = None

    def __str__(self) -> str:
        user = f"{self.user}@" if self.user else ""
        return f"ssh://{user}{self.host}{f':{self.port}' if self.port else ''}"


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Where to connect and as whom.

    `known_as` is the host's name in the files of `known_hosts`, of which the first `own_files` are the user's, and the
    first of these takes new keys. `jumps` are the hosts on the way, in their order; `proxy_command` is a program that
    makes the connection. `keys` are private key files; with `only_these` no others are tried. `notes` are sentences on
    what was not followed in the user's configuration.
    """

    host: str
    user: str
    port: int = PORT
    known_as: str = ""
    known_hosts: tuple[Path, ...] = ()
    own_files: int = 0
    keys: tuple[Path, ...] = ()
    only_these: bool = False
    jumps: tuple[Address, ...] = ()
    proxy_command: str = ""
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.user}@{self.host}" + (f":{self.port}" if self.port != PORT else "")


def parse(text: str) -> Address:
    """Read an address; one of another form is a UsageError."""
    found = _FORM.fullmatch(text)
    if found is None:
        secret = re.match(r"ssh://[^@/]*:[^@/]*@", text)
        why = "has a password in it" if secret else f"is {text!r}"
        raise UsageError(f"the address of a host {why}", doing="reading --host", hint=_HINT)
    return _address(found, text)


def _address(found: re.Match[str], text: str) -> Address:
    port = int(found["port"]) if found["port"] else None
    if port is not None and not 0 < port < 1 << 16:
        raise UsageError(f"there is no port {port}", doing=f"reading {text}", hint=_HINT)
    return Address(found["host"].strip("[]"), found["user"], port)


def resolve(address: Address, folder: Path | None = None) -> Target:
    """Complete an address by the user's `config` in `folder` (~/.ssh); UsageError: it cannot be understood."""
    folder = folder or Path.home() / ".ssh"
    found = look_up(address.host, address.user, address.port, folder)
    said = found.values
    host = str(said.get("hostname", address.host))
    port = address.port or int(said.get("port", PORT))
    name = host if port == PORT else f"[{host}]:{port}"
    own = _paths(said.get("userknownhostsfile", f"{folder}/known_hosts {folder}/known_hosts2"))
    everybodys = _paths(said.get("globalknownhostsfile", "/etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2"))
    jumps, command = str(said.get("proxyjump", "none")), str(said.get("proxycommand", "none"))
    return Target(
        host=host,
        user=address.user or str(said.get("user", getpass.getuser())),
        port=port,
        known_as=str(said.get("hostkeyalias", name)),
        known_hosts=own + everybodys,
        own_files=len(own),
        keys=tuple(Path(name).expanduser() for name in said.get("identityfile", ()) if name.lower() != "none"),
        only_these=str(said.get("identitiesonly", "no")).lower() == "yes",
        jumps=() if jumps.lower() == "none" else tuple(_jump(word) for word in jumps.split(",")),
        proxy_command="" if command.lower() == "none" else command,
        notes=found.notes,
    )


def _paths(words: object) -> tuple[Path, ...]:
    """Read file names; `ssh -G` prints them without their quotes, so that a name with a blank looks like two."""
    return tuple(Path(word).expanduser() for word in re.split(r"\s+(?=[/~])", str(words).strip()) if word != "none")


def _jump(word: str) -> Address:
    found = _JUMP.fullmatch(word.strip().removeprefix("ssh://"))
    if found is None:
        raise UsageError(f"ProxyJump {word!r}", doing="reading ~/.ssh/config", hint="user@host:port, commas between")
    return _address(found, word)
