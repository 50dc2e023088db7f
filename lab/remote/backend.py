"""The stages on another host: kernels and disks are made there, machines run there, and what we need comes back."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import msgspec

from lab.build import Kernel, Plan
from lab.cache import Cache, digest, file_digest
from lab.errors import RemoteError, UsageError
from lab.image import Image, swap_disk
from lab.journal import Journal
from lab.machine.host import Fit
from lab.machine.qemu import Qemu
from lab.machine.snapshots import KIND
from lab.machine.spec import MachineSpec, Parts
from lab.remote import messages
from lab.remote.address import parse
from lab.remote.client import Client
from lab.remote.connection import Connection, connect
from lab.remote.deploy import Deployment, deploy
from lab.remote.packets import SILENCE_SECONDS
from lab.remote.qemu import RemoteQemu
from lab.settings import Settings
from lab.source import Tree
from lab.source.packing import packed

BUILD_SECONDS = 7200.0
PEER = "lab.remote.peer"
LARGE = 1 << 20  # bytes; on a slow line a larger file takes longer than a word may take, and words wait behind it


class RemoteBackend:
    """Another host; the connection is made when it is first needed, and ends with `close`."""

    def __init__(self, settings: Settings, journal: Journal, silence: float = SILENCE_SECONDS) -> None:
        """`settings.host` is its address (else a UsageError). After `silence` seconds without a word it is lost."""
        self._address = parse(settings.host or "")
        self._settings = settings
        self._journal = journal
        self._silence = silence
        self._cache = Cache(settings.cache)
        self._known: dict[Path, Path] = {}
        self._connection: Connection | None = None
        self._aside: Connection | None = None
        self._client: Client | None = None
        self._deployment: Deployment | None = None

    @property
    def client(self) -> Client:
        """The peer there."""
        if self._client is None:
            with ExitStack() as failure:
                connection = connect(self._address, accept_new_key=self._settings.accept_new_host_key)
                failure.callback(connection.close)
                for note in connection.notes:
                    self._journal.record("note", text=note, told=True)
                self._deployment = deploy(connection, self._cache, self._journal)
                self._client = Client(connection, self._deployment.command(PEER), self._settings.qemu, self._silence)
                failure.pop_all()
            self._connection = connection
        return self._client

    def close(self) -> None:
        """End the peer and the connection."""
        if self._client is not None:
            self._client.close()
        for connection in (self._aside, self._connection):
            if connection is not None:
                connection.close()
        self._client = self._connection = self._aside = None

    def kernel(self, plan: Plan, journal: Journal) -> Kernel:
        """Return a kernel that was built there; its files come here once."""
        if plan.ledger is not None:
            raise UsageError("another ledger than the project's own does not go to another host", hint="build it here")
        wanted = messages.FindKernel(
            version=plan.tree.version,
            tree=plan.tree.digest,
            origin=plan.tree.origin,
            variant=plan.variant,
            kvmd=plan.kvmd,
            fragments=tuple(self.place(path) for path in plan.fragments),
            patches=tuple(self.place(path) for path in plan.patches),
            cc=plan.cc or self._settings.cc,
            mutant=plan.mutant,
            checks=plan.checks,
        )
        built = self.client.ask(wanted, messages.BuiltKernel | None, journal)
        if built is None:
            self._send_tree(plan.tree, journal)
            built = self.client.ask(messages.BuildKernel(wanted), messages.BuiltKernel, journal, BUILD_SECONDS)
        there: Kernel = built.kernel
        paths = self._fetch("kernels", there.key, there.bzimage.parent, built.files, journal)
        names = ("bzimage", "vmlinux", "system_map", "config", "manifest")
        own = {name: paths / getattr(there, name).name for name in names}
        self._known[own["bzimage"]] = there.bzimage
        return msgspec.structs.replace(there, **own)

    def image(self, journal: Journal, swap_mib: int) -> Image:
        """Return the guest's disks, made there; the blank swap disk is made here anew rather than fetched."""
        made = self.client.ask(messages.BuildImage(self._settings.cc, swap_mib), messages.Disks, journal)
        there: Image = made.image
        blank = (there.swap.name, swap_mib)
        folder = self._fetch("image", there.key, there.root.parent, made.files, journal, blank)
        root, swap = folder / there.root.name, folder / there.swap.name
        self._known |= {root: there.root, swap: there.swap}
        programs = {name: folder / path.name for name, path in there.programs.items()}
        return Image(root=root, swap=swap, key=there.key, programs=programs)

    def lock(self, kind: str, key: str) -> AbstractContextManager[None]:
        """Keep other processes of this host from making the same thing over there."""
        return self._cache.lock(f"remote-{kind}", digest(self.client.where, key)[:32])

    def host(self) -> RemoteHost:
        """Return where machines run."""
        return RemoteHost(self)

    def place(self, path: Path) -> Path:
        """Return where a file of this host is over there, to which it goes once for each content."""
        if path not in self._known:
            try:
                found = file_digest(path)
            except OSError as error:
                raise UsageError(f"{path} cannot be read ({error.strerror})", doing="sending it") from error
            there = self.client.ask(messages.FindFile(found, path.name), Path | None)
            self._known[path] = there or self.client.ask(messages.Take(self._send(path), found, path.name), Path)
        return self._known[path]

    def _way(self, size: int) -> Connection:
        """Return the connection for a file: what is large has one of its own, and holds up no word."""
        assert self._connection is not None
        if size < LARGE:
            return self._connection
        if self._aside is None:
            self._aside = connect(self._address)
        return self._aside

    def _send(self, path: Path) -> Path:
        assert self._deployment is not None
        sent = self._deployment.incoming(path.name)
        with path.open("rb") as file:
            self._way(path.stat().st_size).put(file, sent)
        return Path(sent)

    def _send_tree(self, tree: Tree, journal: Journal) -> None:
        if self.client.ask(messages.HasTree(tree.digest), bool):
            return
        assert self._deployment is not None
        with (
            journal.stage("send", f"{tree.version} to {self.client.where}"),
            packed(tree, self._settings.cache) as tarball,
        ):
            sent = self._deployment.incoming("tree.tar.gz")
            self._way(LARGE).put(tarball, sent)
            self.client.ask(messages.Unpack(Path(sent), tree.version, tree.digest), seconds=BUILD_SECONDS)

    def _fetch(
        self,
        kind: str,
        key: str,
        there: Path,
        files: dict[str, str],
        journal: Journal,
        blank: tuple[str, int] | None = None,
    ) -> Path:
        """Return an entry of the cache here with the files of one over there."""

        def fill(entry: Path) -> None:
            way = self._way(LARGE)
            with journal.stage("fetch", f"{kind} {key[:12]} from {self.client.where}"):
                for name, wanted in files.items():
                    way.get(str(there / name), entry / name)
                    if file_digest(entry / name) != wanted:
                        raise RemoteError("it arrived damaged", doing=f"fetching {name} from {self.client.where}")
            if blank is not None:
                swap_disk(entry / blank[0], blank[1])

        return self._cache.entry(kind, key, fill)


class RemoteHost:
    """The Host that machines over there have."""

    def __init__(self, there: RemoteBackend) -> None:
        self._there = there

    def fit(self, wanted: MachineSpec) -> Fit:
        """Choose accelerator and clock."""
        found: Fit = self._there.client.ask(messages.FitFor(wanted), Fit)
        return found

    def by_hand(self, parts: Parts, fit: Fit) -> str:
        """Return a command for a shell over there."""
        command = self._there.client.ask(messages.ByHand(self._parts(parts), fit), str)
        return f"{command}  # on {self._there.client.where}"

    def snapshot(self, parts: Parts, fit: Fit, make: Callable[[], Qemu]) -> str:
        """Return the key of the snapshot; processes of this host that want the same one wait for each other."""
        request = messages.Key(self._parts(parts), fit)
        found = self._there.client.ask(request, messages.Snapshot)
        if not found.there:
            with self._there.lock(KIND, found.made_of.key):
                if not self._there.client.ask(request, messages.Snapshot).there:
                    make().save(found.made_of, Path())
        return str(found.made_of.key)

    def start(self, parts: Parts, fit: Fit, snapshot: str = "") -> RemoteQemu:
        """Start a QEMU over there."""
        return RemoteQemu(self._there.client, self._parts(parts), fit, snapshot)

    def _parts(self, parts: Parts) -> Parts:
        place = self._there.place
        swap = None if parts.swap is None else place(parts.swap)
        return Parts(kernel_image=place(parts.kernel_image), root=place(parts.root), swap=swap)
