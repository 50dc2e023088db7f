"""A distribution's bare root in namespaces of its own: made, entered, and gone without a trace.

What runs in it has its own processes, mounts, host name and network; the one that holds all of them is killed at the
end, and with it whatever it holds. It dies with us too, so that a killed test leaves nothing but a folder.
"""

from __future__ import annotations

import contextlib
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

import msgspec

from tests.distributions.network import ADDRESS, PackageSources

SCRIPTS = Path("/usr/share/debootstrap/scripts")
USER = "tester"
_DYING = ["setpriv", "--pdeathsig=KILL", "--"]  # with the one who started it
_PRIVATE = ["unshare", "--mount", "--pid", "--uts", "--ipc", "--propagation=private", "--fork", "--kill-child=KILL"]
# $1: the root; then pairs of a path out here and one in there. The shell at the end reaps what lost its parent.
_HOLD = """
set -eu
mount --bind "$1" "$1"
cd "$1"
shift
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t tmpfs -o mode=1777 tmpfs dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts dev/pts
while [ $# -gt 0 ]; do
    mount --rbind -o ro "$1" ".$2"
    shift 2
done
hostname bare
ip link set lo up
exec chroot . /bin/sh -c 'echo ready; sleep infinity & while :; do wait; done'
"""


class Ended(msgspec.Struct, frozen=True):
    """How a command ended, what it printed, and how long it took in seconds."""

    status: int
    said: str
    seconds: float


class Bind(msgspec.Struct, frozen=True):
    """A file or folder out here, and where it is to be seen in there, to read only."""

    path: Path
    place: str

    @classmethod
    def parse(cls, text: str) -> Bind:
        """Read PATH or PATH:PLACE."""
        path, _, place = text.partition(":")
        return cls(Path(path).resolve(strict=True), place or path)


def script_of(suite: str, folder: Path = SCRIPTS) -> Path:
    """Return debootstrap's script for a suite: sid's for one that is younger than this debootstrap."""
    return folder / suite if (folder / suite).exists() else folder / "sid"


def make(suite: str, target: Path, mirror: str, tarballs: Path | None, log: Path) -> None:
    """Make a bare root at `target`, or unpack it from `tarballs`/SUITE.tar."""
    ready = tarballs / f"{suite}.tar" if tarballs is not None else None
    if ready is not None and ready.is_file():
        argv = ["tar", "-x", "-f", str(ready), "-C", str(target), "--numeric-owner"]
    else:
        words = ["--variant=minbase", suite, str(target), mirror, str(script_of(suite))]
        argv = [*_PRIVATE, "--mount-proc", "--", "debootstrap", *words]
    argv = [*_DYING, *argv]
    with log.open("wb") as out:
        status = subprocess.run(argv, stdout=out, stderr=out, check=False).returncode
    assert status == 0, f"{shlex.join(argv)} ended with {status}: {log}"


class BareRoot:
    """A root of one distribution; use it in `with`. `transcripts` gets what debootstrap and every command say."""

    def __init__(
        self,
        suite: str,
        mirror: str,
        transcripts: Path,
        *,
        tarballs: Path | None = None,
        binds: Sequence[Bind] = (),
        apt: Sequence[str] = (),
    ) -> None:
        """`tarballs` as for `make`; `binds` are seen in there, `apt` are settings of apt."""
        self.suite = suite
        self._apt = apt
        self._mirror, self._tarballs, self._binds = mirror, tarballs, binds
        self._transcripts = transcripts
        self._ending = contextlib.ExitStack()
        self.environment: dict[str, str] = {}
        self._number = 0

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self.path = Path(tempfile.mkdtemp(prefix=f"kvmd-lab-{self.suite}-"))
            stack.callback(shutil.rmtree, self.path)
            self.path.chmod(0o755)
            make(self.suite, self.path, self._mirror, self._tarballs, self._transcripts / "root.log")
            self._prepare()
            self._first = stack.enter_context(_held(self.path, self._binds))
            self._ending = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.close()
        assert not self.path.exists()
        assert str(self.path) not in Path("/proc/self/mountinfo").read_text(encoding="utf-8")

    def _prepare(self) -> None:
        """Let apt know the way out, and make places for what is bound."""
        lines = [f'Acquire::http::Proxy "{ADDRESS}";\n', *(f"{setting};\n" for setting in self._apt)]
        (self.path / "etc/apt/apt.conf.d/90way-out").write_text("".join(lines), encoding="utf-8")
        (self.path / "etc/hosts").write_text("127.0.0.1 localhost bare\n", encoding="utf-8")
        (self.path / "etc/resolv.conf").write_text("", encoding="utf-8")  # there is no name server
        for bind in self._binds:
            place = self.path / bind.place.lstrip("/")
            (place if bind.path.is_dir() else place.parent).mkdir(parents=True, exist_ok=True)
            if bind.path.is_file():
                place.touch()

    def way_out(self, allowed: Sequence[str]) -> PackageSources:
        """Return the proxy for its network."""
        return PackageSources(Path(f"/proc/{self._first}/ns/net"), allowed)

    def run(self, command: str, *, user: str = "root", seconds: float = 600.0) -> Ended:
        """Run a shell command as somebody who has just logged in; its transcript is kept."""
        self._number += 1
        transcript = self._transcripts / f"{self._number:02d}-{user}.log"
        enter = ["nsenter", f"--target={self._first}", "--mount", "--pid", "--uts", "--ipc", "--net", "--root", "--wd"]
        become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--reset-env"]
        words = [f"{name}={value}" for name, value in {"LANG": "C.UTF-8", **self.environment}.items()]
        argv = [*enter, "--", *become, "env", *words, "sh", "-c", f"cd && {command}"]
        begin = time.monotonic()
        with transcript.open("w", encoding="utf-8") as out:
            out.write(f"{user}$ {command}\n")
            out.flush()
            done = subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                timeout=seconds,
                check=False,
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
            )
            out.write(f"[status {done.returncode}, {time.monotonic() - begin:.1f} s]\n")
        said = transcript.read_text(encoding="utf-8", errors="replace")
        return Ended(done.returncode, said, time.monotonic() - begin)

    def sure(self, command: str) -> str:
        """Run a command as root that must succeed."""
        done = self.run(command)
        assert done.status == 0, done.said
        return done.said

    def add_user(self, sudo: str | None) -> None:
        """Make an ordinary user; `sudo` is what sudo's table says of them, None: there is no sudo."""
        self.sure(f"useradd --create-home --shell /bin/bash {USER}")
        if sudo is not None:
            self.sure("apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes sudo")
            self.sure(f"echo '{USER} ALL=(ALL) {sudo}ALL' >/etc/sudoers.d/{USER}")


@contextlib.contextmanager
def _held(root: Path, binds: Sequence[Bind]) -> Iterator[int]:
    """Hold the root's namespaces; give the number of the process that is their first one."""
    words = [word for bind in binds for word in (str(bind.path), bind.place)]
    argv = [*_PRIVATE, "--net", "--", "sh", "-c", _HOLD, "sh", str(root), *words]
    with subprocess.Popen([*_DYING, *argv], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        try:
            assert holder.stdout.readline() == b"ready\n", "the root's mounts failed"
            first = int(Path(f"/proc/{holder.pid}/task/{holder.pid}/children").read_text(encoding="ascii"))
            assert Path(f"/proc/{first}/root").samefile(root), "who enters now would be out here"
            yield first
        finally:
            holder.kill()  # and the kernel kills the first process, and with it all the others
            holder.stdout.read()  # which keep this open as long as they live
