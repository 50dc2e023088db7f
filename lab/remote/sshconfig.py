"""What the user's SSH configuration says of a host, in the OpenSSH client's own words.

`ssh -G` follows all that the client itself follows. Where there is no client, the configuration is not read, and that
is said: another reader would know no `Include`, or apply a `Match` that it does not know to every host (paramiko's).

OpenSSH takes ~ from the password database, Python and most programs from HOME. Where the two differ, HOME was set on
purpose, and its .ssh/config is the one that is read; the system's configuration is not, as with `ssh -F`.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import pwd
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import msgspec

from lab.errors import UsageError

CLIENT_SECONDS = 20.0  # a `Match exec` may take its time
_LISTS = {"identityfile"}
_WITH_TOKENS = ("identityfile", "proxycommand", "userknownhostsfile")


class Lookup(msgspec.Struct, frozen=True):
    """Options by their names in lower case, those that somebody set; and a sentence on what was not followed."""

    values: dict[str, Any]
    notes: tuple[str, ...] = ()


def look_up(host: str, user: str | None, port: int | None, folder: Path) -> Lookup:
    """Return what is said of a host (with what was typed beside its name); `folder` has the `config`.

    UsageError: it cannot be understood.
    """
    client = shutil.which("ssh")
    config = folder / "config"
    own = folder == Path(pwd.getpwuid(os.getuid()).pw_dir, ".ssh")
    if client is None:
        hint = "there is no ssh to ask: apt-get install openssh-client"
        return Lookup({}, (f"{config} is not followed ({hint})",) if config.is_file() else ())
    if not own and not config.is_file():
        return Lookup({})
    typed = [*(["-l", user] if user else []), *(["-p", str(port)] if port else [])]
    words = [client, "-G", "-T", *([] if own else ["-F", str(config)]), *typed, "--", host]
    return Lookup(_spelled_out(_without_defaults(_ask(words, config), client), host, folder.parent))


def _ask(words: list[str], config: Path) -> dict[str, Any]:
    """Return what the client prints: an option and its value on each line."""
    doing = f"looking up {words[-1]}"
    status, out, complaint = _run(words)
    if status is None:
        raise UsageError(
            f"`ssh -G` gave no answer within {CLIENT_SECONDS:g} s", doing=doing, hint=f"a Match exec in {config}?"
        )
    if status:
        raise UsageError(f"{config} cannot be understood", doing=doing, seen=complaint.splitlines()[-5:])
    found: dict[str, Any] = {}
    for line in out.splitlines():
        name, _, value = line.partition(" ")
        if name in _LISTS:
            found.setdefault(name, []).append(value)
        else:
            found[name] = value
    return found


def _run(words: list[str]) -> tuple[int | None, str, str]:
    """Return status (None: it took too long), output and complaints; nothing that a `Match exec` began is left."""
    pipe = subprocess.PIPE
    client = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True, process_group=0)
    with client:
        try:
            out, complaint = client.communicate(timeout=CLIENT_SECONDS)
        except subprocess.TimeoutExpired:
            return None, "", ""
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(client.pid, signal.SIGKILL)
        return client.returncode, out, complaint


def _without_defaults(found: dict[str, Any], client: str) -> dict[str, Any]:
    """Return what is not the client's own default, which it prints as well; the lab has defaults of its own.

    Of "only these key files" without a file, the usual ones are meant.
    """
    usual = _ask([client, "-G", "-T", "-F", os.devnull, "--", "box"], Path(os.devnull))
    kept = {"identityfile"} if found.get("identitiesonly") == "yes" else set()
    return {name: value for name, value in found.items() if name in kept or usual.get(name) != value}


def _spelled_out(values: dict[str, Any], typed: str, home: Path) -> dict[str, Any]:
    """Put in what `ssh -G` leaves as %h and so on in the options that we use."""
    tokens = {
        "%": "%",
        "d": str(home),
        "h": str(values.get("hostname", typed)),
        "i": str(os.getuid()),
        "n": typed,
        "p": str(values.get("port", 22)),
        "r": str(values.get("user", getpass.getuser())),
        "u": getpass.getuser(),
    }

    def fill(text: str) -> str:
        return re.sub(r"%(.)", lambda found: tokens.get(found[1], found[0]), text)

    for name in _WITH_TOKENS:
        if name in values:
            value = values[name]
            values[name] = [fill(one) for one in value] if isinstance(value, list) else fill(value)
    return values
