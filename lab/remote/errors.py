"""How another host can fail us."""

from __future__ import annotations

from lab.errors import RemoteError


class UnreachableError(RemoteError):
    """There is no way to the host, or nobody there speaks SSH."""


class HostKeyError(RemoteError):
    """The host's key is not known, or not the one that is known."""


class LoginError(RemoteError):
    """The host does not let us in."""


class ConnectionLostError(RemoteError):
    """The connection was cut; whatever ran on the other side ends by itself."""
