"""A target, turned into an SSH connection: commands, files, and one kind of error for each way to fail."""

from __future__ import annotations

import contextlib
import logging
import shlex
import socket
from pathlib import Path
from typing import Any

import msgspec
import paramiko

from lab.errors import HostError, LabError, RemoteError
from lab.remote import hostkeys
from lab.remote.address import Address, Target, resolve
from lab.remote.errors import ConnectionLostError, LoginError, UnreachableError

CONNECT_SECONDS = 20.0
COMMAND_SECONDS = 60.0
KEEPALIVE_SECONDS = 15

# the library logs what it also raises; without a handler Python would print that to standard error
logging.getLogger("paramiko").addHandler(logging.NullHandler())


class CommandOutput(msgspec.Struct, frozen=True):
    """What a command said, and how it ended."""

    status: int
    out: str
    err: str


class Connection:
    """A connection that is open and logged in; whoever has it closes it."""

    def __init__(self, target: Target, client: paramiko.SSHClient, way: list[Connection]) -> None:
        """`way`: the connections through which it goes, which close with it."""
        self.target = target
        self.notes = tuple(
            dict.fromkeys(note for one in (*(near.target for near in way), target) for note in one.notes)
        )
        self._client = client
        self._way = way

    @property
    def transport(self) -> paramiko.Transport:
        """Paramiko's half."""
        transport = self._client.get_transport()
        if transport is None or not transport.is_active():
            raise ConnectionLostError("the connection is lost", doing=f"speaking to {self.target}")
        return transport

    def channel(self, command: str, window: int | None = None) -> paramiko.Channel:
        """Start a command and return its streams; `window`: so many bytes may come before paramiko asks for more."""
        try:
            channel = self.transport.open_session(window_size=window, timeout=CONNECT_SECONDS)
            channel.exec_command(command)
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise self._lost(error, "starting a command there") from error
        return channel

    def run(self, command: str, seconds: float = COMMAND_SECONDS) -> CommandOutput:
        """Run a command to its end; RemoteError after `seconds` without a word."""
        channel = self.channel(command)
        channel.settimeout(seconds)
        try:
            out, err = channel.makefile("rb").read(), channel.makefile_stderr("rb").read()
            status = channel.recv_exit_status()
        except TimeoutError as error:
            raise RemoteError(f"no end within {seconds:g} s", doing=f"running {command} on {self.target}") from error
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise self._lost(error, f"running {command}") from error
        finally:
            channel.close()
        return CommandOutput(status, out.decode(errors="replace"), err.decode(errors="replace"))

    def put(self, source: Any, path: str) -> None:
        """Write an open file to a path on the other side; HostError if there is no room for it."""
        doing = f"sending {Path(path).name} to {self.target}"
        try:
            with self._sftp() as files:
                try:
                    files.putfo(source, path, confirm=True)
                except OSError as error:
                    with contextlib.suppress(OSError, EOFError):
                        files.remove(path)
                    if not self.transport.is_active():
                        raise
                    room = self.run(f"df -Pk -- {shlex.quote(str(Path(path).parent))}").out.splitlines()
                    raise HostError(
                        f"it could not be written ({error})", doing=doing, seen=room, hint="free some space there"
                    ) from error
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise self._lost(error, doing) from error

    def get(self, path: str, target: Path) -> None:
        """Copy a file from the other side."""
        doing = f"fetching {path} from {self.target}"
        try:
            with self._sftp() as files:
                files.get(path, str(target))
        except FileNotFoundError as error:
            raise RemoteError("it is not there any more", doing=doing) from error
        except (paramiko.SSHException, EOFError) as error:
            raise self._lost(error, doing) from error

    def _sftp(self) -> paramiko.SFTPClient:
        files = self.transport.open_sftp_client()
        if files is None:
            raise paramiko.SSHException("no SFTP")
        return files

    def close(self) -> None:
        """End it; may be called twice."""
        self._client.close()
        for connection in reversed(self._way):
            connection.close()

    def _lost(self, error: Exception, doing: str) -> LabError:
        return ConnectionLostError(
            f"the connection to {self.target} is lost ({error or type(error).__name__})", doing=doing
        )


def connect(address: Address, *, accept_new_key: bool = False, folder: Path | None = None) -> Connection:
    """Open a connection, through other hosts if ~/.ssh/config says so.

    UnreachableError, HostKeyError, LoginError: what hindered it.
    """
    return _connect(resolve(address, folder), accept_new_key, folder)


def _connect(target: Target, accept: bool, folder: Path | None, way: tuple[Connection, ...] = ()) -> Connection:
    opened = list(way)
    try:
        for jump in target.jumps:
            near = resolve(jump, folder)
            opened.append(_log_in(near, _socket(near, opened), accept, []))
        return _log_in(target, _socket(target, opened), accept, opened)
    except BaseException:
        for connection in reversed(opened):
            connection.close()
        raise


def _socket(target: Target, way: list[Connection]) -> Any:
    """Return what carries the connection: a TCP connection, a channel of the last host on the way, or a program."""
    doing = f"connecting to {target}"
    try:
        if way:
            return way[-1].transport.open_channel("direct-tcpip", (target.host, target.port), ("localhost", 0))
        if target.proxy_command:
            return paramiko.ProxyCommand(target.proxy_command)
        end = socket.create_connection((target.host, target.port), CONNECT_SECONDS)
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # a request of 20 bytes shall not wait for more
    except (OSError, paramiko.SSHException, ImportError) as error:
        raise UnreachableError(
            str(error), doing=doing, seen=target.notes, hint="does `ssh` itself get there?"
        ) from error
    return end


def _log_in(target: Target, end: Any, accept: bool, way: list[Connection]) -> Connection:
    doing = f"connecting to {target}"
    client = paramiko.SSHClient()
    for kind, key in hostkeys.known(target).items():
        client.get_host_keys().add(target.known_as, kind, key)
    client.set_missing_host_key_policy(hostkeys.Policy(target, accept=accept))
    keys: Any = [str(path) for path in target.keys if path.is_file()]
    try:
        client.connect(
            target.known_as,
            username=target.user,
            sock=end,
            key_filename=keys or None,
            look_for_keys=not target.only_these,
            timeout=CONNECT_SECONDS,
            banner_timeout=CONNECT_SECONDS,
            auth_timeout=CONNECT_SECONDS,
        )
        transport = client.get_transport()
        assert transport is not None
        transport.set_keepalive(KEEPALIVE_SECONDS)
    except paramiko.BadHostKeyException as error:
        client.close()
        raise hostkeys.changed(target, error.key, error.expected_key) from error
    except (paramiko.AuthenticationException, paramiko.SSHException, OSError, EOFError) as error:
        client.close()
        raise _refusal(error, target, doing) from error
    except BaseException:
        client.close()
        raise
    return Connection(target, client, way)


def _refusal(error: Exception, target: Target, doing: str) -> LabError:
    said = str(error) or type(error).__name__
    if isinstance(error, paramiko.AuthenticationException) or "authentication" in said:
        tried = ", ".join(str(path) for path in target.keys) or "the usual ones in ~/.ssh"
        return LoginError(
            f"{target.host} does not let {target.user} in ({said.rstrip('.')})",
            doing=doing,
            seen=target.notes,
            hint=f"a key that it knows: in the agent (ssh-add), or a file ({tried}); IdentityFile in ~/.ssh/config",
        )
    return UnreachableError(said, doing=doing, seen=target.notes, hint="does `ssh` itself get there?")
