"""What the two sides ask and answer each other, as values in MessagePack.

Paths are of the other side's file system. An answer's type stands in its request's docstring.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from lab import errors
from lab.build import Kernel
from lab.errors import InfraError, LabError
from lab.image import Image
from lab.machine.host import Fit
from lab.machine.snapshots import Provenance
from lab.machine.spec import MachineSpec, Parts
from lab.version import KernelVersion


class Request(msgspec.Struct, frozen=True, tag=True):
    """Something that is asked of the peer."""


class Hello(Request, frozen=True):
    """Begin; `qemu` and `silence` (seconds) hold from now on. Answer: the peer's process id."""

    qemu: str
    silence: float


class FitFor(Request, frozen=True):
    """Choose accelerator and clock. Answer: Fit."""

    spec: MachineSpec


class FindFile(Request, frozen=True):
    """Where is the file with this SHA-256 and this name? Answer: its path over there, or None."""

    digest: str
    name: str


class Take(Request, frozen=True):
    """Move a file that was sent to its place, if it is what it should be. Answer: its path over there."""

    sent: Path
    digest: str
    name: str


class FindKernel(Request, frozen=True, kw_only=True):
    """Return a kernel that is there already. Answer: BuiltKernel or None. `tree` need not be there."""

    version: KernelVersion
    tree: str
    origin: str
    variant: str
    kvmd: bool
    fragments: tuple[Path, ...]
    patches: tuple[Path, ...]
    cc: str
    mutant: str | None
    checks: bool


class BuildKernel(Request, frozen=True):
    """Build a kernel. Answer: BuiltKernel."""

    wanted: FindKernel


class Unpack(Request, frozen=True):
    """Unpack a tree that was sent, and hold it against its digest. Answer: None."""

    sent: Path
    version: KernelVersion
    digest: str


class HasTree(Request, frozen=True):
    """Is the tree there? Answer: bool."""

    digest: str


class BuiltKernel(msgspec.Struct, frozen=True):
    """A kernel, and the SHA-256 of each of its files by name."""

    kernel: Kernel
    files: dict[str, str]


class BuildImage(Request, frozen=True):
    """Make the guest's disks. Answer: Disks."""

    cc: str
    swap_mib: int


class Disks(msgspec.Struct, frozen=True):
    """The guest's disks, and the SHA-256 of each file but the swap disk by name."""

    image: Image
    files: dict[str, str]


class Key(Request, frozen=True):
    """Tell a snapshot's key. Answer: Snapshot."""

    parts: Parts
    fit: Fit


class Snapshot(msgspec.Struct, frozen=True):
    """A snapshot's key and what it is made of; whether there is one."""

    made_of: Provenance
    there: bool


class Start(Request, frozen=True):
    """Start a QEMU that gets the number `machine`. Answer: Started."""

    machine: int
    parts: Parts
    fit: Fit
    snapshot: str


class Started(msgspec.Struct, frozen=True):
    """A running QEMU: what a Qemu tells of itself."""

    pid: int
    argv: list[str]
    disks: list[str]
    dump: str


class ByHand(Request, frozen=True):
    """Say how to boot the same by hand. Answer: str."""

    parts: Parts
    fit: Fit


class Drain(Request, frozen=True):
    """Send all that a stopped guest has said, then answer whether it left bytes unread. Answer: bool."""

    machine: int


class RenewAgent(Request, frozen=True):
    """Make a new socket for the agent's port and give QEMU its other end. Answer: None."""

    machine: int


class ReadDump(Request, frozen=True):
    """Answer: the first bytes of the file for pmemsave, packed by zlib."""

    machine: int
    size: int


class ReadSwap(Request, frozen=True):
    """Answer: bytes of the swap disk."""

    machine: int
    offset: int
    size: int


class ReadBooks(Request, frozen=True):
    """Answer: Books, on QEMU and on the peer."""

    machine: int


class ReadThreads(Request, frozen=True):
    """Answer: a line for each of QEMU's threads."""

    machine: int


class Save(Request, frozen=True):
    """Keep the disks of a QEMU that has ended as a snapshot. Answer: None."""

    machine: int
    made_of: Provenance


class Drop(Request, frozen=True):
    """Kill a QEMU and let its disks go. Answer: None, when it is gone."""

    machine: int


Anything = (
    Hello
    | FitFor
    | FindFile
    | Take
    | FindKernel
    | BuildKernel
    | HasTree
    | Unpack
    | BuildImage
    | Key
    | Start
    | ByHand
    | Drain
    | RenewAgent
    | ReadDump
    | ReadSwap
    | ReadBooks
    | ReadThreads
    | Save
    | Drop
)


class Asked(msgspec.Struct, frozen=True):
    """A request with its number."""

    number: int
    request: Anything


class Answer(msgspec.Struct, frozen=True, tag=True):
    """The answer to a request, encoded."""

    number: int
    value: bytes


class Event(msgspec.Struct, frozen=True, tag=True):
    """Something for the journal of whoever asked."""

    number: int
    event: dict[str, Any]


class Failure(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """A LabError on the other side."""

    number: int
    kind: str
    what: str
    doing: str
    seen: tuple[str, ...]
    log: str
    hint: str


def encode(value: object) -> bytes:
    """Turn a value into bytes."""
    return msgspec.msgpack.encode(value, enc_hook=str)


def decode(raw: bytes, kind: Any) -> Any:
    """Turn them back into a value of that kind."""
    return msgspec.msgpack.decode(raw, type=kind, dec_hook=lambda wanted, value: wanted(value))


def failure(number: int, error: LabError) -> Failure:
    """Turn an error into a value."""
    kind = next(one.__name__ for one in type(error).__mro__ if getattr(errors, one.__name__, None) is one)
    return Failure(
        number=number,
        kind=kind,
        what=error.what,
        doing=error.doing,
        seen=error.seen,
        log=str(error.log or ""),
        hint=error.hint,
    )


def error(failed: Failure, where: str) -> LabError:
    """Turn it back; it says where it happened, and its log is named, but lies there."""
    kind = getattr(errors, failed.kind, InfraError)
    seen = (*failed.seen, f"(the log is {failed.log} on {where})") if failed.log else failed.seen
    doing = f"{failed.doing} on {where}" if failed.doing else f"working on {where}"
    made: LabError = kind(failed.what, doing=doing, seen=seen, hint=failed.hint)
    return made
