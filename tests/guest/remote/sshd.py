"""A real sshd on loopback, with keys, a user and a port of its own; nothing of it stays."""

from __future__ import annotations

import contextlib
import getpass
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

SSHD = "/usr/sbin/sshd"
SECONDS = 20.0
_PLACES = ("/tmp", "/var/tmp", "/dev/shm")


def key(path: Path) -> Path:
    """Make a fresh key pair and return the private half."""
    words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)]
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL)
    return path


class User:
    """Whom to log in as: a fresh user with a home of his own if we are root, otherwise ourselves."""

    def __init__(self, base: Path) -> None:
        self.fresh = os.geteuid() == 0
        self.name = f"kvmd-lab-{secrets.token_hex(4)}" if self.fresh else getpass.getuser()
        self.home = base / "home" if self.fresh else Path.home()
        if self.fresh:
            words = ["useradd", "--system", "--password=*", "--shell=/bin/sh", "--create-home", "--home-dir"]
            subprocess.run([*words, str(self.home), self.name], check=True, capture_output=True)
        self.uid = pwd.getpwnam(self.name).pw_uid
        self.cache = self.home / ".cache" / "kvmd-lab" if self.fresh else base / "cache"

    def own(self, path: Path) -> None:
        """Give a file, or a folder with all that is in it, to the user."""
        if self.fresh:
            subprocess.run(["chown", "-R", f"{self.name}:", str(path)], check=True)

    def remove(self) -> None:
        """Remove him."""
        if self.fresh:
            subprocess.run(["userdel", self.name], check=True, capture_output=True)

    def files(self) -> set[str]:
        """His files outside of the lab's cache, in all places where somebody can write."""
        places = [place for place in (*_PLACES, str(self.home)) if Path(place).is_dir()]
        words = ["find", *places, "-xdev", "-path", str(self.cache), "-prune", "-o", "-uid", str(self.uid), "-print"]
        return set(subprocess.run(words, capture_output=True, text=True, check=False).stdout.splitlines())


class Sshd:
    """The sshd; use it in `with`. `folder` is what a client has as ~/.ssh."""

    def __init__(self) -> None:
        self.base = Path(tempfile.mkdtemp(prefix="kvmd-lab-sshd-"))
        self.base.chmod(0o755)  # another user reads his authorized_keys in it
        self.user = User(self.base)
        self.host_key = key(self.base / "host_key")
        self.folder = self.base / "client" / ".ssh"
        self.folder.mkdir(parents=True, mode=0o700)
        self.client_key = key(self.folder / "id_ed25519")
        self.authorized = self.base / "authorized_keys"
        shutil.copy(f"{self.client_key}.pub", self.authorized)
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port: int = probe.getsockname()[1]
        self.address = f"ssh://{self.user.name}@127.0.0.1:{self.port}"
        self.known_hosts = self.folder / "known_hosts"
        self.know(self.host_key)
        self.log = self.base / "sshd.log"

    def know(self, host_key: Path, port: int | None = None) -> None:
        """Let the client know this host key and no other."""
        kind, text, *_ = Path(f"{host_key}.pub").read_text().split()
        self.known_hosts.write_text(f"[127.0.0.1]:{port or self.port} {kind} {text}\n")

    def __enter__(self) -> Self:
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # sshd's own; systemd makes it where it starts it
        config = self.base / "sshd_config"
        config.write_text("\n".join(self._config()) + "\n")
        with self.log.open("wb") as log:
            self._sshd = subprocess.Popen([SSHD, "-D", "-e", "-f", str(config)], stdout=log, stderr=log)
        try:
            self._await_port()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _await_port(self) -> None:
        end = time.monotonic() + SECONDS
        while True:
            with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", self.port)):
                return
            assert self._sshd.poll() is None, self.log.read_text()
            assert time.monotonic() < end
            threading.Event().wait(0.02)

    def _config(self) -> Iterator[str]:
        yield from (f"Port {self.port}", "ListenAddress 127.0.0.1", f"HostKey {self.host_key}")
        yield from (f"AuthorizedKeysFile {self.authorized}", "StrictModes no", "UsePAM no", "UseDNS no")
        yield from ("PasswordAuthentication no", "KbdInteractiveAuthentication no", "PidFile none", "LogLevel VERBOSE")
        yield "Subsystem sftp internal-sftp"
        chosen = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
        if not self.user.fresh:
            chosen["KVMD_LAB_CACHE"] = str(self.user.cache)
        if chosen:
            yield "SetEnv " + " ".join(f'{name}="{value}"' for name, value in chosen.items())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        kill(self.connections())
        self._sshd.terminate()
        self._sshd.wait(SECONDS)
        left = self.settled()
        kill(self.running())
        self.user.remove()
        shutil.rmtree(self.base)
        assert left == []

    def connections(self) -> list[int]:
        """The processes of sshd that serve a connection: sshd itself, since OpenSSH 9.8 sshd-session and sshd-auth."""
        found, unseen = [], [self._sshd.pid]
        while unseen:
            children = [pid for pid in _children(unseen.pop()) if _name(pid).startswith("sshd")]
            found += children
            unseen += children
        return found

    def running(self) -> dict[int, str]:
        """The command lines of what the lab runs on the other side, by their numbers."""
        found = {}
        for path in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if str(self.user.cache).encode() in (path / "environ").read_bytes():
                    found[int(path.name)] = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        return found

    def settled(self, seconds: float = SECONDS) -> list[str]:
        """What still runs on the other side, after a while in which it may end."""
        end, pause = time.monotonic() + seconds, threading.Event()
        while self.running() and time.monotonic() < end:
            pause.wait(0.02)
        return list(self.running().values())


def kill(pids: Iterable[int]) -> None:
    """Kill processes by their numbers."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _children(pid: int) -> list[int]:
    lists = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            lists.append(path.read_text())
    return [int(word) for text in lists for word in text.split()]


def _name(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""
