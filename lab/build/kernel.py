"""From a pristine tree to a kernel in the cache: port, configure, make, audit, keep.

The cache holds two things. `kernels/KEY` is the result, by everything that went in. `work/KEY` is the tree that make
worked in, by everything but kvmd: a change in kvmd alone is copied into it, and make does the rest.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import msgspec

from lab import port, process
from lab.build.audit import Audit, audit, audit_decompressor
from lab.build.audit_today import audit_today
from lab.build.config import configure, merge, render
from lab.build.era import era_of
from lab.build.make import depend, make
from lab.build.mutant import installs_header, put_back
from lab.build.place import bearable, check_bearable_today
from lab.build.toolchain import Toolchain, check_host_programs, toolchain
from lab.cache import Cache, digest, file_digest
from lab.errors import AuditError, CompileError, ConfigError, PortError
from lab.host_trouble import host_trouble
from lab.journal import Journal
from lab.port.ledger import Ledger, Record, read_installed
from lab.settings import Settings
from lab.source import Tree
from lab.version import KernelVersion, VersionRange

_WAY = "2"  # of building: another number, and nothing that was built in the old way is found any more
_MODULE = "mm/kvmd-module.o"  # there when kvmd was built to be loaded
_BUILDING = ".kvmd-lab-building"  # there while make works: a tree that still has it was left in the middle


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to build: a tree, a variant ("up" or "smp"), with kvmd or not, further fragments and patches, a compiler.

    `ledger` is the folder of another ledger than the project's own, with its configuration fragments in `config/`.
    `mutant` names a known defect of kvmd that is put back (kvmd/mutants.toml); an ordinary build has none. `checks`:
    a kernel of today watches itself (locks, sleeping where one must not, slabs, leaks); one of 2000 has nothing for it.
    """

    tree: Tree
    variant: str = "up"
    kvmd: bool = True
    fragments: tuple[Path, ...] = ()
    patches: tuple[Path, ...] = ()
    cc: str | None = None
    ledger: Path | None = None
    mutant: str | None = None
    checks: bool = True


class Kernel(msgspec.Struct, frozen=True):
    """A built kernel: paths in the cache, and what the manifest says of it. `fresh` tells whether it was built now."""

    bzimage: Path
    vmlinux: Path
    system_map: Path
    config: Path
    manifest: Path
    key: str
    version: str
    variant: str
    fresh: bool

    @property
    def smp(self) -> bool:
        """Whether it runs more than one processor."""
        return self.variant == "smp"

    def read_manifest(self) -> Manifest:
        """Read what went into the kernel and what came out."""
        return msgspec.json.decode(self.manifest.read_bytes(), type=Manifest)


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What went into a kernel and what came out, as manifest.json beside it."""

    version: str
    variant: str
    tree: str
    tree_origin: str
    ledger: str
    records: tuple[str, ...]
    patches: tuple[tuple[str, str], ...]
    compiler: str
    flags: tuple[str, ...]
    compiled: int
    seconds: float
    audit: Audit
    bzimage_sha256: str
    mutant: str | None = None


def build(plan: Plan, settings: Settings, journal: Journal) -> Kernel:
    """Return the kernel that the plan describes, from the cache or built now.

    Raises PortError, ConfigError, CompileError, AuditError (nothing is kept then) and HostError.
    """
    job = _Job(plan, settings, journal)
    found = job.cache.find("kernels", job.key)
    if found is not None:
        journal.record("stage", name="build", phase="end", seconds=0.0, detail=f"{plan.tree.version}: nothing changed")
        return job.kernel(found, fresh=False)
    with journal.stage("build", f"{plan.tree.version} {plan.variant}, {job.toolchain.identity}"):
        return job.kernel(job.cache.entry("kernels", job.key, job.make), fresh=True)


def key_of(plan: Plan, settings: Settings) -> str:
    """Return the key of the plan's kernel in the cache, over everything that goes into it."""
    return _Job(plan, settings, Journal()).key


def kernel_in(folder: Path, version: str, variant: str, *, fresh: bool) -> Kernel:
    """Return the kernel that is in an entry of the cache."""
    return Kernel(
        bzimage=folder / "bzImage",
        vmlinux=folder / "vmlinux",
        system_map=folder / "System.map",
        config=folder / "config",
        manifest=folder / "manifest.json",
        key=folder.name,
        version=version,
        variant=variant,
        fresh=fresh,
    )


class _Job:
    """One build: the plan with the keys that follow from it."""

    def __init__(self, plan: Plan, settings: Settings, journal: Journal) -> None:
        self.era = era_of(plan.tree.version)
        self.plan = plan = msgspec.structs.replace(plan, variant=self.era.kernel_for(plan.variant, checks=plan.checks))
        self.settings = settings
        self.journal = journal
        self.cache = Cache(settings.cache)
        self.toolchain: Toolchain = toolchain(plan.cc or settings.cc, self.era.flags)
        everything = port.own_ledger() if plan.ledger is None else port.load(plan.ledger)
        self.ledger: Ledger = everything.meant_for(plan.tree.version)
        self.options = merge(self._fragments())
        self.patch_digests = tuple((path.name, _patch_digest(path)) for path in plan.patches)
        base = (
            _WAY,
            plan.tree.digest,
            str(plan.tree.version),
            self.toolchain.identity,
            self.toolchain.command,
            render(self.options),
            *(f"{name} {text}" for name, text in self.patch_digests),
        )
        self.key = digest(*base, self.ledger.digest, *self._mutant())[:32]
        # A patch may have changed kvmd's files: then they cannot be copied into a tree that was built before.
        self.work_key = digest(*base, self.ledger.digest if plan.patches else _without_kvmd(self.ledger))[:32]

    def _mutant(self) -> Sequence[str]:
        """Return what a mutant adds to the key; ConfigError if the ledger's kvmd does not know it."""
        if self.plan.mutant is None:
            return ()
        headers = [self._text(record) for record in self.ledger.records if installs_header(record)]
        if not headers:
            raise ConfigError("the ledger installs no header for mutants", doing="choosing a mutant")
        return (f"mutant {self.plan.mutant}",)

    def _text(self, record: Record) -> bytes:
        """Return what a record of kvmd installs in this build."""
        text = read_installed(self.ledger, record)
        chosen = self.plan.mutant is not None and installs_header(record)
        return put_back(text, self.plan.mutant or "") if chosen else text

    def _fragments(self) -> Sequence[Path]:
        folder = self.ledger.home / "config" / self.era.folder
        plan = self.plan
        names = self.era.fragments_for(plan.variant, plan.tree.version, checks=plan.checks)
        return [*(folder / f"{name}.config" for name in (*names, *(["kvmd"] * plan.kvmd))), *plan.fragments]

    def kernel(self, folder: Path, *, fresh: bool) -> Kernel:
        return kernel_in(folder, str(self.plan.tree.version), self.plan.variant, fresh=fresh)

    def make(self, target: Path) -> None:
        """Build into the new cache entry `target`."""
        begin = time.monotonic()
        with self.cache.lock("work", self.work_key), host_trouble(f"building in {self.settings.cache}"):
            work = self.settings.cache / "work" / self.work_key
            log = self.settings.cache / "work" / f"{self.work_key}.log"
            log.unlink(missing_ok=True)
            if (work / _BUILDING).exists() or not work.exists():
                self._prepare(work, log)
            self._refresh(work)
            with bearable(work, log) as place, ThreadPoolExecutor(1) as aside:
                started: list[Future[Audit]] = []  # while make still packs the kernel

                def start() -> None:
                    started.append(aside.submit(self._audit, work))

                compiled = self._compile(place, log, start)
                if not started:
                    start()
                findings = self._judge(started[0].result(), work, log)
            self._keep(work, target, log, findings, compiled, time.monotonic() - begin)

    def _prepare(self, work: Path, log: Path) -> None:
        """Make the work tree afresh: ported, configured, with its dependencies."""
        if not self.era.historic:
            check_bearable_today(work)
        check_host_programs(self.toolchain)
        for program, package in self.era.tools:
            process.require(program, package)
        _clear_away(work)
        fresh = work.with_name(f"{work.name}.new")
        _clear_away(fresh)
        try:
            port.port(self.plan.tree, fresh, self.ledger, self.plan.patches, self.journal)
            (fresh / _BUILDING).touch()
            fresh.rename(work)
        except BaseException:
            shutil.rmtree(fresh, ignore_errors=True)
            raise
        with bearable(work, log) as place:
            with self.journal.stage("configure", self.plan.variant):
                configure(place, self.options, self.journal, log, self.era.completed_by)
            if self.era.depends:
                depend(place, self.toolchain, self.settings.jobs, self.journal, log)

    def _refresh(self, work: Path) -> None:
        """Bring kvmd's files in a work tree up to date; only what differs is written, so that make sees it."""
        for record in self.ledger.records:
            if not _is_kvmd(record) or (self.plan.patches and not installs_header(record)):
                continue  # what a patch may have changed is as new as the tree
            text = self._text(record)
            for name in record.files:
                if (work / name).read_bytes() != text:
                    (work / name).write_bytes(text)

    def _compile(self, work: Path, log: Path, when_linked: Callable[[], object]) -> int:
        """Let make do what there is to do; after a compiler's error the tree is fit to go on from, not after a kill."""
        mark = work / _BUILDING
        mark.touch()
        try:
            compiled = make(
                work,
                self.toolchain,
                self.settings.jobs,
                self.journal,
                log,
                self._expected(),
                historic=self.era.historic,
                when_linked=when_linked,
            )
        except CompileError:
            mark.unlink()
            raise
        mark.unlink()
        return compiled

    def _expected(self) -> int | None:
        """How many sources the largest kernel of this kind took; a guess for the progress bar only."""
        kind = VersionRange(self.era.kernels)
        counts = []
        for path in (self.settings.cache / "kernels").glob("*/manifest.json"):
            with contextlib.suppress(OSError, msgspec.MsgspecError):  # one of another version of the lab, or just gone
                manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
                alike = manifest.variant == self.plan.variant and KernelVersion(manifest.version) in kind
                counts += [manifest.compiled] * alike
        return max(counts, default=self.era.compiles)

    def _audit(self, work: Path) -> Audit:
        with self.journal.stage("audit"):
            if self.era.historic:
                return audit(work, self.toolchain, smp=self.plan.variant == "smp")
            return audit_today(work, kvmd=self.plan.kvmd)

    def _judge(self, result: Audit, work: Path, log: Path) -> Audit:
        """Return what the audit counted, or raise what it found."""
        findings = [*result.findings, *(audit_decompressor(work) if self.era.historic else ())]
        if findings:
            raise AuditError(
                "; ".join(findings),
                doing="auditing the link",
                log=log,
                hint="compare with the flags in lab/build/toolchain.py; each has its reason beside it",
            )
        return result

    def _keep(self, work: Path, target: Path, log: Path, result: Audit, compiled: int, seconds: float) -> None:
        names = {
            self.era.bzimage: "bzImage",
            "vmlinux": "vmlinux",
            "System.map": "System.map",
            ".config": "config",
        }
        if (work / _MODULE).exists():
            names[_MODULE] = "kvmd.o"
        for source, name in names.items():
            shutil.copyfile(work / source, target / name)
        shutil.copyfile(log, target / "build.log")
        manifest = Manifest(
            version=str(self.plan.tree.version),
            variant=self.plan.variant,
            tree=self.plan.tree.digest,
            tree_origin=self.plan.tree.origin,
            ledger=self.ledger.digest,
            records=tuple(record.id for record in self.ledger.records),
            patches=self.patch_digests,
            compiler=self.toolchain.identity,
            flags=self.toolchain.flags,
            compiled=compiled,
            seconds=round(seconds, 3),
            audit=result,
            bzimage_sha256=file_digest(target / "bzImage"),
            mutant=self.plan.mutant,
        )
        (target / "manifest.json").write_bytes(msgspec.json.format(msgspec.json.encode(manifest, enc_hook=str)))


_INCLUDE = re.compile(rb"^\s*#\s*include.*$", re.MULTILINE)


def _without_kvmd(ledger: Ledger) -> str:
    """A digest over the ledger, and of kvmd's files only over what make's dependencies were computed from."""
    texts = [msgspec.json.encode(record) for record in ledger.records]
    for record in ledger.records:
        if record.install:
            text = read_installed(ledger, record)
            texts.append(b"\n".join(_INCLUDE.findall(text)) if _is_kvmd(record) else text)
    return digest(*texts)


def _is_kvmd(record: Record) -> bool:
    return record.install.startswith("kvmd/")


def _patch_digest(path: Path) -> str:
    try:
        return file_digest(path)
    except OSError as error:
        raise PortError(f"{path} cannot be read ({error.strerror})", doing="reading your patches") from error


def _clear_away(folder: Path) -> None:
    """Remove a folder in which a compiler of a killed build may still be at work: out of the way first."""
    if folder.exists():
        aside = folder.with_name(f"{folder.name}.old-{os.getpid()}")
        folder.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)
