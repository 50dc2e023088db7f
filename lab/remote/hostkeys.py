"""A host's key, held against the known_hosts files: unknown ones are refused or stored, changed ones always refused."""

from __future__ import annotations

import contextlib
import fcntl
from pathlib import Path
from typing import Any

from paramiko import HostKeys, MissingHostKeyPolicy, PKey, SSHException
from paramiko.hostkeys import HostKeyEntry, InvalidHostKey

from lab.host_trouble import host_trouble
from lab.remote.address import Target
from lab.remote.errors import HostKeyError


class Policy(MissingHostKeyPolicy):
    """What happens to a key that no file knows."""

    def __init__(self, target: Target, *, accept: bool) -> None:
        self._target = target
        self._accept = accept

    def missing_host_key(self, client: Any, hostname: str, key: PKey) -> None:  # noqa: ARG002 - paramiko's signature
        """Store the key if new ones are accepted, otherwise raise a HostKeyError."""
        revoked = revoked_in(self._target, key)
        if revoked is not None:
            raise HostKeyError(f"its key is revoked, says {revoked}", doing=f"connecting to {self._target}")
        if not self._accept:
            raise HostKeyError(
                f"its key is not known: {key.get_name()} {key.fingerprint}",
                doing=f"connecting to {self._target}",
                hint="compare it with what the host's owner says, then give --accept-new-host-key once",
            )
        store(self._target, key)


def known(target: Target) -> dict[str, PKey]:
    """Return the keys that are known for a host, by their kinds; none that is revoked."""
    found: dict[str, PKey] = {}
    for path in target.known_hosts:
        for kind, key in (_read(path).lookup(target.known_as) or {}).items():
            if revoked_in(target, key) is None:
                found.setdefault(kind, key)
    return found


def revoked_in(target: Target, key: PKey) -> Path | None:
    """Return the file that calls a key revoked, for whichever host."""
    for path in target.known_hosts:
        if any(line.startswith("@revoked") and key.get_base64() in line.split() for line in _lines(path)):
            return path
    return None


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []


def _read(path: Path) -> HostKeys:
    """Return a file's keys. HostKeys itself fails at the first line with a mark (`@revoked`)."""
    keys = HostKeys()
    for line in _lines(path):
        if line.strip() and not line.startswith(("#", "@")):
            with contextlib.suppress(InvalidHostKey, SSHException):
                entry = HostKeyEntry.from_line(line)
                if entry is not None and entry.key is not None:
                    for name in entry.hostnames or ():
                        keys.add(name, entry.key.get_name(), entry.key)
    return keys


def store(target: Target, key: PKey) -> None:
    """Append the key to the first of the host's files, of which nothing else changes; HostError if that can't be."""
    if target.own_files == 0:
        raise HostKeyError(
            "its key is not known, and UserKnownHostsFile none leaves no place for it", doing=f"connecting to {target}"
        )
    path: Path = target.known_hosts[0]
    line = f"{HostKeyEntry([target.known_as], key).to_line() or ''}".encode()
    with host_trouble(f"storing the key of {target}"):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with path.open("ab+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # several processes of one run may be at it
            file.seek(0)
            before = file.read()
            if line.strip() not in before.splitlines():
                file.write((b"" if before.endswith(b"\n") or not before else b"\n") + line)


def changed(target: Target, key: PKey, expected: PKey) -> HostKeyError:
    """Return the error for a host that shows another key than the known one."""
    files = ", ".join(str(path) for path in target.known_hosts if path.is_file())
    return HostKeyError(
        f"its key is {key.get_name()} {key.fingerprint}, but {expected.get_name()} {expected.fingerprint} is known",
        doing=f"connecting to {target}",
        hint=f"somebody may be in between. If the host was set up anew: ssh-keygen -R '{target.known_as}' ({files})",
    )
