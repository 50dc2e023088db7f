"""Every way in which the lab can fail.

    LabError                    never raised itself
    |-- UsageError       2      you asked for something that cannot be
    |   |-- SourceError  3      the tree or tarball that you gave, or the mirror's answer
    |   |-- PortError    4      a record of the ledger does not fit the tree
    |   `-- ConfigError  5      configuration fragments that disagree, or an option that was dropped
    |-- InfraError       8      the host, the network, QEMU
    |   |-- HostError           a missing tool, a full disk, a read-only cache
    |   |-- DownloadError 3     no mirror gave the file
    |   |-- RemoteError         another host cannot be reached, refuses us, or is lost
    |   `-- MachineError        QEMU died, does not answer, or refuses a command
    `-- SubjectError     10     the kernel under test
        |-- CompileError 6      the compiler or linker failed on the ported tree
        |-- AuditError   7      it links, but not to what the sources say
        |-- BootError    9      no ready agent within the deadline
        |-- GuestFault   10     oops, BUG, panic, killed process on the console
        `-- AgentError   10     the agent answered wrongly, or not at all

The number is the exit code of the command line. pytest shows a SubjectError as FAIL, everything else as ERROR.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

LAST_LINES = 15


def last_lines(path: Path, count: int = LAST_LINES) -> list[str]:
    """Return the last `count` lines of a log; an unreadable log gives an empty list."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return text.splitlines()[-count:]


class LabError(Exception):
    """An error that says what was being done, with what, what was seen and what to try.

    Parameters are sentences without a final line end: `doing` (the act), `what` (what went wrong), `seen` (lines of
    output), `log` (where the whole output is), `hint` (what to try).
    """

    exit_code = 1

    def __init__(
        self,
        what: str,
        *,
        doing: str = "",
        seen: Sequence[str] = (),
        log: Path | None = None,
        hint: str = "",
    ) -> None:
        super().__init__(what)
        self.what = what
        self.doing = doing
        self.log = log
        self.seen = tuple(seen) if seen else tuple(last_lines(log)) if log is not None else ()
        self.hint = hint

    def __str__(self) -> str:
        lines = [f"{self.doing}: {self.what}" if self.doing else self.what]
        lines += [f"  | {line}" for line in self.seen]
        if self.log is not None:
            lines.append(f"  log: {self.log}")
        if self.hint:
            lines.append(f"  try: {self.hint}")
        return "\n".join(lines)


class UsageError(LabError):
    """You asked for something that cannot be."""

    exit_code = 2


class SourceError(UsageError):
    """A tree or tarball is not what it should be."""

    exit_code = 3


class PortError(UsageError):
    """A record of the porting ledger, or a patch, does not fit the tree."""

    exit_code = 4


class ConfigError(UsageError):
    """Configuration fragments disagree, or an option that was asked for is not in the final configuration."""

    exit_code = 5


class InfraError(LabError):
    """The host, the network or QEMU failed; nothing is known about the kernel under test."""

    exit_code = 8


class HostError(InfraError):
    """The host lacks a tool, space, or a right."""


class DownloadError(InfraError):
    """No mirror gave the file that was asked for."""

    exit_code = 3


class RemoteError(InfraError):
    """Another host cannot be reached, refuses us, or the connection to it is lost."""


class MachineError(InfraError):
    """QEMU died, does not answer, or refuses a command."""


class SubjectError(LabError):
    """The kernel under test failed."""

    exit_code = 10


class CompileError(SubjectError):
    """The compiler or the linker failed on the ported tree."""

    exit_code = 6


class AuditError(SubjectError):
    """The kernel links, but not to what its sources say."""

    exit_code = 7


class BootError(SubjectError):
    """No ready agent within the deadline."""

    exit_code = 9


class GuestFault(SubjectError):
    """The console shows an oops, a BUG, a panic or a killed process."""


class AgentError(SubjectError):
    """The agent in the guest answered wrongly, or not at all."""
