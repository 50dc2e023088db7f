"""The README's two commands on a bare root, from nothing; no network but package sources."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import msgspec
import pytest

from lab.resources import package
from tests.distributions.bareroot import USER, BareRoot, Bind, Ended, script_of
from tests.distributions.network import ADDRESS, host_of, pip_hosts

# What sudo's table says of each kind of user; None: there is no sudo.
SUDO = {"sudo": "NOPASSWD: ", "password": "", "plain": None}
_TYPE_THIS = re.compile(r"^    ((?:su -c|sudo sh -c) .*)$", re.MULTILINE)
_ROUNDS = 3  # Python, then the tools; one more is one too many


class Times(msgspec.Struct):
    """One command: how it ended at last, its seconds without what was typed, and the lines that were typed."""

    command: str
    status: int
    seconds: float
    typed: list[str]


def clone(root: BareRoot, home: str) -> None:
    """Put a fresh clone of this checkout there, as it was committed."""
    target = root.path / home.lstrip("/") / "kvmd-lab"
    argv = ["git", "clone", "--quiet", "--no-local", "--depth=1", str(package().parent), str(target)]
    subprocess.run(argv, check=True)


def do(root: BareRoot, command: str, user: str, seconds: float) -> tuple[Times, Ended]:
    """Run one of the lab's commands; if it prints what to type, type that as root and start it again."""
    line = f"cd kvmd-lab && ./kvmd-lab {command}"
    done = root.run(line, user=user, seconds=seconds)
    times = Times(command, done.status, done.seconds, [])
    while done.status == 8 and len(times.typed) < _ROUNDS and (asked := _TYPE_THIS.search(done.said)):
        times.typed.append(asked[1])
        assert root.run(asked[1], seconds=seconds).status == 0, asked[1]
        done = root.run(line, user=user, seconds=seconds)
        times.status, times.seconds = done.status, times.seconds + done.seconds
    return times, done


def versions(root: BareRoot, home: str) -> dict[str, object]:
    """Return what was used: the lab's own list, and the distribution's of all packages."""
    listed = root.sure("dpkg-query --show").splitlines()[1:-1]
    said = root.run(f"{home}/kvmd-lab/.venv/bin/kvmd-lab doctor --browser --json").said
    lines = said.splitlines()[1:-1]
    return {"tools": msgspec.Raw("\n".join(lines).encode()) if lines else [], "packages": listed}


def test_the_two_commands_work_from_nothing(
    suite: str, login: str, mirror: str, binds: list[Bind], transcripts: Path, pytestconfig: pytest.Config
) -> None:
    option = pytestconfig.getoption
    commands = option("--command") or ["demo", "test"]
    seconds = option("--hours") * 3600
    with BareRoot(
        suite, mirror, transcripts, tarballs=option("--bare-roots"), binds=binds, apt=option("--apt")
    ) as root:
        allowed = [host_of(mirror), *pip_hosts(), *option("--allow")]
        root.environment = {"PIP_PROXY": ADDRESS, **dict(one.split("=", 1) for one in option("--setenv"))}
        with root.way_out(allowed) as way:
            user, home = ("root", "/root") if login == "root" else (USER, f"/home/{USER}")
            if login != "root":
                root.add_user(SUDO[login])
            clone(root, home)
            root.sure(f"chown -R {user}: {home}")
            all_times = []
            try:
                for command in commands:
                    times, done = do(root, command, user, seconds)
                    all_times.append(times)
                    assert done.status == 0, done.said[-4000:]
            finally:
                (transcripts / "times.json").write_bytes(msgspec.json.format(msgspec.json.encode(all_times)))
                (transcripts / "refused.txt").write_text("\n".join(way.refused), encoding="utf-8")
                (transcripts / "versions.json").write_bytes(msgspec.json.encode(versions(root, home)))
    assert bool(all_times[0].typed) == (login in ("password", "plain"))


def test_a_suite_younger_than_debootstrap_is_made_by_the_script_of_sid(tmp_path: Path) -> None:
    for name in ("sid", "bookworm"):
        (tmp_path / name).touch()
    assert script_of("bookworm", tmp_path).name == "bookworm"
    assert script_of("forky", tmp_path).name == "sid"
