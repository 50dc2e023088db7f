"""What the peer does when it is asked: the lab's own stages, on this host, with this host's cache."""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from lab import build, image
from lab.cache import Cache, digest, file_digest
from lab.errors import HostError, MachineError
from lab.host_trouble import host_trouble
from lab.journal import Journal
from lab.machine.host import LocalHost
from lab.machine.snapshots import KIND
from lab.remote import messages as m
from lab.remote.hosted import HostedQemu
from lab.remote.packets import Packet
from lab.settings import Settings
from lab.source import Tree, shape_of
from lab.source.archive import unpack
from lab.source.contents import read_contents
from lab.source.memo import Memo
from lab.source.packing import TOP

TREES = "sent-trees"
OBJECTS = "objects"
KILLED_SECONDS = 60.0


class Handlers:
    """The stages, for one connection; `machines` are its QEMUs by their numbers."""

    def __init__(self, settings: Settings, say: Callable[[Packet], None]) -> None:
        """`say` sends a packet to the other side, in the loop's thread."""
        self.settings = settings
        self.machines: dict[int, HostedQemu] = {}
        self._say = say
        self._cache = Cache(settings.cache)

    def do(self, request: m.Request, journal: Journal) -> Any:
        """Do what is asked and return the answer. LabError: why not."""
        match request:
            case m.FindKernel() | m.BuildKernel():
                return self._kernel(request, journal)
            case m.BuildImage(cc, swap_mib):
                return self._image(cc, swap_mib, journal)
            case m.FindFile() | m.Take() | m.HasTree() | m.Unpack():
                return self._file(request)
            case m.FitFor(spec):
                return self._host.fit(spec)
            case m.ByHand(parts, fit):
                return self._host.by_hand(parts, fit)
            case m.Key(parts, fit):
                made_of = self._host.manifest(parts, fit)
                return m.Snapshot(made_of, self._cache.find(KIND, made_of.key) is not None)
            case m.Start():
                return self._start(request)
        return self._with_machine(request)

    @property
    def _host(self) -> LocalHost:
        return LocalHost(self.settings, self._cache)

    def _kernel(self, request: m.FindKernel | m.BuildKernel, journal: Journal) -> m.BuiltKernel | None:
        wanted = request if isinstance(request, m.FindKernel) else request.wanted
        plan = build.Plan(
            tree=Tree(self.settings.cache / TREES / wanted.tree / TOP, wanted.version, wanted.tree, wanted.origin),
            variant=wanted.variant,
            kvmd=wanted.kvmd,
            fragments=wanted.fragments,
            patches=wanted.patches,
            cc=wanted.cc,
            mutant=wanted.mutant,
            checks=wanted.checks,
        )
        if isinstance(request, m.FindKernel):
            kernel = build.find(plan, self.settings)
        else:
            kernel = build.build(plan, self.settings, journal)
        return None if kernel is None else m.BuiltKernel(kernel, _digests(kernel.bzimage.parent))

    def _image(self, cc: str, swap_mib: int, journal: Journal) -> m.Disks:
        made = image.build(self.settings, self._cache, journal, cc=cc, swap_mib=swap_mib)
        return m.Disks(made, _digests(made.root.parent, but=made.swap.name))

    def _file(self, request: m.FindFile | m.Take | m.HasTree | m.Unpack) -> Any:
        match request:
            case m.FindFile(digest, name):
                entry = self._cache.find(OBJECTS, _object(digest, name))
                return None if entry is None else entry / name
            case m.HasTree(digest):
                return self._cache.find(TREES, digest) is not None
            case m.Take(sent, digest, name):
                _check(sent, file_digest(sent), digest)
                return self._cache.entry(OBJECTS, _object(digest, name), lambda new: _move(sent, new / name)) / name
            case m.Unpack(sent, version, digest):

                def fill(entry: Path) -> None:
                    top = unpack(sent, entry)
                    _check(sent, read_contents(top, Memo(self.settings.cache), shape_of(version)).digest, digest)

                try:
                    self._cache.entry(TREES, digest, fill)
                finally:
                    sent.unlink(missing_ok=True)
        return None

    def _start(self, request: m.Start) -> m.Started:
        qemu = self._host.start(request.parts, request.fit, request.snapshot)
        hosted = HostedQemu(request.machine, qemu, self._say)
        self.machines[request.machine] = hosted
        return m.Started(qemu.pid, qemu.argv, qemu.disks, qemu.dump)

    def _with_machine(self, request: m.Request) -> Any:
        number = getattr(request, "machine", 0)
        hosted = self.machines.get(number)
        if hosted is None:
            raise MachineError(f"there is no machine {number}")
        match request:
            case m.Drain():
                return hosted.qemu.drain()
            case m.RenewAgent():
                hosted.qemu.renew_agent()
            case m.ReadDump(_, size):
                return zlib.compress(hosted.qemu.read_dump(size), 1)
            case m.ReadSwap(_, offset, size):
                return hosted.qemu.read_swap(offset, size)
            case m.ReadBooks():
                return hosted.qemu.books()
            case m.ReadThreads():
                return hosted.qemu.threads()
            case m.Save(_, made_of):
                self._cache.entry(KIND, made_of.key, lambda entry: hosted.qemu.save(made_of, entry))
            case m.Drop():
                hosted.drop(KILLED_SECONDS)
                del self.machines[number]
        return None


def _digests(folder: Path, but: str = "") -> dict[str, str]:
    return {path.name: file_digest(path) for path in folder.iterdir() if path.is_file() and path.name != but}


def _check(sent: Path, found: str, wanted: str) -> None:
    if found != wanted:
        sent.unlink(missing_ok=True)
        raise HostError(f"what arrived is {found[:12]}, not {wanted[:12]}", doing=f"taking {sent.name}")


def _object(contents: str, name: str) -> str:
    """Return the key of a file that was sent: the same contents under another name are another file."""
    return digest(contents, name)


def _move(sent: Path, target: Path) -> None:
    with host_trouble(f"storing {target.name}"):
        shutil.move(sent, target)


def settings_for(environment: Settings, qemu: str) -> Settings:
    """Return the settings of this host with the QEMU that the other side names."""
    return msgspec.structs.replace(environment, qemu=qemu)
