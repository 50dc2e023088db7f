"""The lab on the other side: sent once for each state of its files, set up by its own launcher.

CACHE/labs/DIGEST/      the lab's files          CACHE/objects/DIGEST/      single files that went over
CACHE/venvs/DIGEST/     its Python packages      CACHE/sent-trees/DIGEST/   kernel trees
CACHE/incoming/         what is being sent       CACHE/tmp/                 temporary files of what runs there

Beside these the cache is what it is here. Nothing is written anywhere else.
"""

from __future__ import annotations

import secrets
import shlex

import msgspec

from lab.cache import Cache, digest
from lab.errors import HostError
from lab.journal import Journal
from lab.remote import bundle
from lab.remote.connection import CommandOutput, Connection

SET_UP_SECONDS = 900.0
_FIND = """
cache=${KVMD_LAB_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kvmd-lab}
mkdir -p "$cache/incoming" "$cache/tmp" "$cache/labs" "$cache/venvs" && cd "$cache" && pwd -P
find incoming -type f -mmin +1440 -delete  # of connections that were cut
[ ! -e "labs/$1/.ready" ] || echo ready
"""
_SET_UP = """
set -eu
cd "$1"
new=labs/.new-$2-$$
trap 'rm -rf "$new" "$3"' EXIT
mkdir "$new"
tar -xzf "$3" -C "$new"
[ -d "labs/$2" ] || mv -T "$new" "labs/$2"
export TMPDIR="$1/tmp" PIP_CACHE_DIR="$1/pip" KVMD_LAB_VENV="$1/venvs/$4"
sh "labs/$2/kvmd-lab" set-up
touch "labs/$2/.ready"
"""


class Deployment(msgspec.Struct, frozen=True):
    """The lab on the other side: its cache, its folder, and its virtual environment."""

    cache: str
    lab: str
    venv: str

    def incoming(self, name: str) -> str:
        """Return a new path for something that is sent."""
        return f"{self.cache}/incoming/{secrets.token_hex(8)}-{name}"

    def command(self, module: str) -> str:
        """Return the command that runs a module of the lab there."""
        surroundings = {"PYTHONPATH": self.lab, "TMPDIR": f"{self.cache}/tmp", "KVMD_LAB_CACHE": self.cache}
        words = [f"{name}={value}" for name, value in surroundings.items()]
        start = shlex.join(["exec", "env", *words, f"{self.venv}/bin/python", "-m", module])
        return _shell(f"cd {shlex.quote(self.cache)} && {start}")


def deploy(connection: Connection, cache: Cache, journal: Journal) -> Deployment:
    """Return the lab on the other side, set up there if it is not yet.

    HostError: there is no room, or something is missing that only its owner can install.
    """
    own = bundle.own()
    place, ready = _find(connection, own)
    if ready:
        return place
    with (
        cache.lock("remote", digest(str(connection.target), own.digest)[:32]),
        journal.stage("remote", f"set up the lab on {connection.target}, once"),
    ):
        place, ready = _find(connection, own)
        if not ready:
            sent = place.incoming("lab.tar.gz")
            connection.put(own.packed(), sent)
            said = connection.run(_shell(_SET_UP, place.cache, own.digest, sent, own.needs), SET_UP_SECONDS)
            _check(said, f"setting up the lab on {connection.target}")
    return place


def _find(connection: Connection, own: bundle.Bundle) -> tuple[Deployment, bool]:
    said = connection.run(_shell(_FIND, own.digest))
    _check(said, f"looking for the lab on {connection.target}")
    cache, *rest = said.out.splitlines()
    return Deployment(cache, f"{cache}/labs/{own.digest}", f"{cache}/venvs/{own.needs}"), rest == ["ready"]


def _check(said: CommandOutput, doing: str) -> None:
    if said.status != 0:
        lines = (said.err or said.out).splitlines()
        raise HostError(f"it ended with status {said.status}", doing=doing, seen=lines[-12:] or ["(no word)"])


def _shell(script: str, *arguments: str) -> str:
    """Return a script as one command for whatever shell somebody has there."""
    return shlex.join(["sh", "-c", script.strip(), "kvmd-lab", *arguments])
