"""The launcher on hosts of all kinds: what it installs, what it says, and how it leaves."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from lab import resources

EXACT = "apt-get install --yes --no-install-recommends -o APT::Cmd::Pattern-Only=true"
REAL = ("sh", "cat", "cksum", "dirname", "env", "find", "flock", "grep", "mkdir", "sort", "touch", "paste")
# What apt knows here. It installs a program by making it.
APT_CACHE = """
case "$2" in
linux-source-*) echo linux-source-6.12 ;;
gcc-*) echo gcc-12; echo gcc-13; echo gcc-12-base ;;
lost*) ;;
*) echo "$2"; echo "$2-more" ;;
esac
"""
APT_GET = """
echo "$*" >>"$HOME/apt.log"
case "$1" in
update) exit ${UPDATE_ENDS:-0} ;;
*) [ -n "${BRINGS_NOTHING-}" ] || : >"$HOME/missing" ; exit ${INSTALL_ENDS:-0} ;;
esac
"""
LAB = """
case "$1 ${2-}" in
"doctor --missing") shift 2; echo "$*" >>"$HOME/doctor.log"; cat "$HOME/missing" ;;
doctor*) echo "install the programs: $(cat "$HOME/missing")"; exit 8 ;;
*) echo "lab $*" ;;
esac
"""
PYTHON = 'case "$*" in *pip*) exit ${PIP_ENDS:-0} ;; esac'


class Host:
    """A checkout with a launcher, a PATH of its own, and what it lacks in `missing`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.checkout = folder / "checkout"
        self.checkout.mkdir()
        for name in ("kvmd-lab", "pyproject.toml"):
            shutil.copy(resources.top_file(name), self.checkout)
        self.path = folder / "bin"
        self.path.mkdir()
        for name in REAL:
            (self.path / name).symlink_to(shutil.which(name) or name)
        self.has("id", "echo ${USER_NUMBER:-1000}")
        self.has("apt-get", APT_GET)
        self.has("apt-cache", APT_CACHE)
        self.environment = {"PATH": str(self.path), "HOME": str(folder)}
        self.lacks("")
        self.set_up(self.checkout / ".venv")

    def has(self, program: str, script: str) -> None:
        self._write(self.path / program, script)

    def lacks(self, packages: str) -> None:
        (self.folder / "missing").write_text(packages, encoding="utf-8")

    def set_up(self, venv: Path) -> None:
        """Make what a finished setup leaves."""
        (venv / "bin").mkdir(parents=True)
        self._write(venv / "bin" / "kvmd-lab", LAB)
        self._write(venv / "bin" / "python", PYTHON)
        needs = (self.checkout / "pyproject.toml").read_bytes()
        sums = subprocess.run(["cksum"], input=needs, capture_output=True, check=True)
        (venv / ".kvmd-lab").write_bytes(sums.stdout)

    @staticmethod
    def _write(path: Path, script: str) -> None:
        path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        path.chmod(0o755)

    @property
    def asked_of_apt(self) -> list[str]:
        log = self.folder / "apt.log"
        return log.read_text(encoding="utf-8").splitlines() if log.exists() else []

    def __call__(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        argv = [str(self.checkout / "kvmd-lab"), *words]
        return subprocess.run(
            argv, env=self.environment | environment, capture_output=True, text=True, check=False, timeout=30
        )


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_host_with_everything_goes_on_without_apt(host: Host) -> None:
    done = host("demo", "--cpus", "2")
    assert (done.returncode, done.stdout) == (0, "lab demo --cpus 2\n")
    assert host.asked_of_apt == []


def test_root_has_what_is_missing_installed_by_exact_names(host: Host) -> None:
    host.lacks("flex gcc-12")
    done = host("demo", USER_NUMBER="0")
    assert (done.returncode, done.stdout) == (0, "lab demo\n")
    assert host.asked_of_apt == ["update -qq", f"{EXACT.removeprefix('apt-get ')} -qq flex gcc-12"]


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("linux-source-6.1", "it has linux-source-6.12\n"),
        ("gcc-99", "it has gcc-12 gcc-13\n"),
        ("lost", "it has nothing like it. Did its update reach a server?\n"),
    ],
)
def test_a_name_that_the_distribution_does_not_have_is_told_and_not_installed(
    host: Host, name: str, instead: str
) -> None:
    host.lacks(f"flex {name}")
    done = host("demo", USER_NUMBER="0")
    assert (done.returncode, done.stderr) == (8, f"kvmd-lab: apt knows no package {name}; {instead}")
    assert host.asked_of_apt == ["update -qq"]


def test_what_is_still_missing_after_an_installation_is_told_at_once(host: Host) -> None:
    host.lacks("flex")
    done = host("demo", USER_NUMBER="0", BRINGS_NOTHING="yes")
    assert done.returncode == 8
    assert done.stderr.endswith("but this is still missing: flex\n")


def test_installation_that_fails_is_told(host: Host) -> None:
    host.lacks("flex")
    done = host("demo", USER_NUMBER="0", INSTALL_ENDS="100")
    assert done.returncode == 8
    assert done.stderr.endswith("apt-get did not install flex\n")


def test_update_that_fails_does_not_keep_from_what_apt_knows(host: Host) -> None:
    host.lacks("flex")
    done = host("demo", USER_NUMBER="0", UPDATE_ENDS="100")
    assert (done.returncode, done.stdout) == (0, "lab demo\n")
    assert "apt-get update failed" in done.stderr


def test_user_with_sudo_has_it_installed(host: Host) -> None:
    host.has("sudo", '[ "$1" != -n ] || exit 0; echo sudo >>"$HOME/apt.log"; exec "$@"')
    host.lacks("flex")
    assert host("demo").returncode == 0
    assert host.asked_of_apt == ["sudo", "update -qq", "sudo", f"{EXACT.removeprefix('apt-get ')} -qq flex"]


@pytest.mark.parametrize(("sudo", "begins"), [("exit 1", 'sudo sh -c "'), (None, 'su -c "')])
def test_user_who_may_not_install_is_told_what_to_type(host: Host, sudo: str | None, begins: str) -> None:
    if sudo is not None:
        host.has("sudo", sudo)
    host.lacks("bison flex")
    done = host("demo")
    assert done.returncode == 8
    said, line = done.stderr.splitlines()
    assert said == "kvmd-lab: missing: bison flex; type this and start again:"
    assert line == f'    {begins}apt-get update && {EXACT} bison flex"'
    assert host.asked_of_apt == []


def test_host_without_apt_is_told_by_program(host: Host) -> None:
    (host.path / "apt-get").unlink()
    host.lacks("flex")
    done = host("demo", USER_NUMBER="0")
    assert (done.returncode, done.stderr) == (8, "install the programs: flex\n")


def test_host_without_apt_and_python_is_told_which_python(host: Host) -> None:
    (host.path / "apt-get").unlink()
    shutil.rmtree(host.checkout / ".venv")
    done = host("demo", USER_NUMBER="0")
    assert done.returncode == 8
    assert "Python 3.11 or newer is needed, with its modules venv and ensurepip" in done.stderr
    assert not (host.checkout / ".venv").exists()


def test_python_packages_that_cannot_be_had_are_told(host: Host) -> None:
    (host.checkout / ".venv" / ".kvmd-lab").unlink()
    done = host("demo", PIP_ENDS="1")
    assert done.returncode == 8
    assert done.stderr.endswith("it needs a way to PyPI, once\n")
    assert not (host.checkout / ".venv" / ".kvmd-lab").exists()


def test_place_that_cannot_be_written_says_which_variables_name_another(host: Host) -> None:
    done = host("run", "boot", KVMD_LAB_VENV="/proc/no/venv")
    assert done.returncode == 8
    for name in ("KVMD_LAB_VENV", "KVMD_LAB_CACHE", "KVMD_LAB_RUNS"):
        assert f"{name}=~/kvmd-lab/" in done.stderr
    assert done.stderr.endswith(f"{host.checkout / 'kvmd-lab'} run boot\n")


def test_setup_that_is_done_needs_no_place_to_write(host: Host) -> None:
    (host.checkout / ".setup.lock").mkdir()  # no file can be there
    assert host("demo").returncode == 0


def test_tests_say_that_they_need_a_checkout_that_can_be_written(host: Host) -> None:
    (host.checkout / ".setup.lock").mkdir()
    done = host("test")
    assert done.returncode == 8
    assert done.stderr == f"kvmd-lab: the tests write into {host.checkout}, which cannot be written: copy it\n"


@pytest.mark.parametrize(
    ("words", "asked"),
    [(("set-up",), "--serving"), (("run", "boot"), "--for -- run boot")],
)
def test_what_is_looked_for_depends_on_what_is_to_be_done(host: Host, words: tuple[str, ...], asked: str) -> None:
    assert host(*words).returncode == 0
    assert (host.folder / "doctor.log").read_text(encoding="utf-8") == f"{asked}\n"


def test_no_tool_is_looked_for_where_none_is_needed(host: Host) -> None:
    host.lacks("flex")
    assert host("report").stdout == "lab report\n"


@pytest.mark.parametrize("words", [(), ("--help",), ("run", "--help")])
def test_help_installs_nothing(host: Host, words: tuple[str, ...]) -> None:
    host.lacks("flex")
    assert host(*words).stdout == f"lab {' '.join(words)}\n"
    shutil.rmtree(host.checkout / ".venv")
    done = host(*words)
    assert (done.returncode, done.stderr) == (0, "")
    assert {"demo", "test", "set-up", "docs/options.md"} <= set(done.stdout.replace(";", " ").split())
    assert not (host.checkout / ".venv").exists()
    assert host.asked_of_apt == []


@pytest.mark.skipif(shutil.which("apt-get") is None, reason="needs Debian's apt")
def test_apt_itself_takes_no_name_for_an_expression(tmp_path: Path) -> None:
    """Of two packages only one is called as asked; apt's ordinary way is to take the other one as well."""
    folder = tmp_path / "var" / "lib" / "dpkg"
    folder.mkdir(parents=True)
    (folder / "status").write_text("", encoding="utf-8")
    (tmp_path / "repository").mkdir()
    fields = "Version: 1\nArchitecture: all\nMaintainer: nobody\nFilename: {0}.deb\nSize: 1\nDescription: x\n\n"
    packages = "".join(f"Package: {name}\n{fields.format(name)}" for name in ("source-6.12", "source-other"))
    (tmp_path / "repository" / "Packages").write_text(packages, encoding="utf-8")
    (tmp_path / "sources.list").write_text(f"deb [trusted=yes] file:{tmp_path}/repository ./\n", encoding="utf-8")
    for name in ("state/lists/partial", "cache/archives/partial"):
        (tmp_path / name).mkdir(parents=True)
    options = {
        "Dir::State": tmp_path / "state",
        "Dir::State::status": folder / "status",
        "Dir::Cache": tmp_path / "cache",
        "Dir::Etc::sourcelist": tmp_path / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Debug::NoLocking": "true",
        "APT::Sandbox::User": "root",
    }
    words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]

    def apt(*more: str) -> subprocess.CompletedProcess[str]:
        argv = ["apt-get", *words, *more]
        return subprocess.run(argv, capture_output=True, text=True, check=False, env=os.environ | {"LC_ALL": "C"})

    assert apt("update", "-qq").returncode == 0
    assert "Inst source-6.12" in apt("install", "--simulate", "source-6.1").stdout
    exact = EXACT.split()[1:]
    refused = apt(*exact, "--simulate", "source-6.1")
    assert refused.returncode == 100
    assert "Unable to locate package source-6.1" in refused.stderr
    assert "Inst source-6.12" in apt(*exact, "--simulate", "source-6.12").stdout
    argv = ["apt-cache", *words, "pkgnames", "source-6.1"]
    named = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split()
    assert named == ["source-6.12"]
