"""From a pristine tree to a kernel in the cache: port, configure, make, audit, keep.

The cache holds two things. `kernels/KEY` is the result, by everything that went in. `work/KEY` is the tree that make
worked in, by everything but kvmd: a change in kvmd alone is copied into it, and make does the rest.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from lab import port, resources
from lab.build.audit import Audit, audit
from lab.build.config import configure, merge, render
from lab.build.make import make
from lab.build.toolchain import Toolchain, toolchain
from lab.cache import Cache, digest, file_digest, host_trouble
from lab.errors import AuditError, ConfigError
from lab.journal import Journal
from lab.port.ledger import Ledger
from lab.settings import Settings
from lab.source import Tree

VARIANTS = ("up", "smp")
_BUILDING = ".kvmd-lab-building"  # there while make works: a tree that still has it was left in the middle


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to build: a tree, a variant ("up" or "smp"), with kvmd or not, further fragments and patches, a compiler."""

    tree: Tree
    variant: str = "up"
    kvmd: bool = True
    fragments: tuple[Path, ...] = ()
    patches: tuple[Path, ...] = ()
    cc: str | None = None


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


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What went into a kernel and what came out, as manifest.json beside it."""

    version: str
    variant: str
    tree: str
    tree_origin: str
    ledger: str
    records: tuple[str, ...]
    patches: dict[str, str]
    compiler: str
    flags: tuple[str, ...]
    compiled: int
    seconds: float
    audit: Audit
    bzimage_sha256: str


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


class _Job:
    """One build: the plan with the keys that follow from it."""

    def __init__(self, plan: Plan, settings: Settings, journal: Journal) -> None:
        if plan.variant not in VARIANTS:
            raise ConfigError(f"there is no variant {plan.variant!r}", hint=f"variants: {', '.join(VARIANTS)}")
        self.plan = plan
        self.settings = settings
        self.journal = journal
        self.cache = Cache(settings.cache)
        self.toolchain: Toolchain = toolchain(plan.cc or settings.cc)
        self.ledger: Ledger = port.ledger()
        self.options = merge(self._fragments())
        self.patch_digests = {path.name: file_digest(path) for path in plan.patches}
        base = (
            plan.tree.digest,
            str(plan.tree.version),
            self.toolchain.identity,
            self.toolchain.command,
            render(self.options),
            *(f"{name} {text}" for name, text in self.patch_digests.items()),
        )
        self.key = digest(*base, self.ledger.digest)[:32]
        self.work_key = digest(*base, _without_kvmd(self.ledger))[:32]

    def _fragments(self) -> Sequence[Path]:
        folder = resources.folder("kernel-patches") / "config"
        names = ["base", self.plan.variant, *(["kvmd"] * self.plan.kvmd)]
        return [*(folder / f"{name}.config" for name in names), *self.plan.fragments]

    def kernel(self, folder: Path, *, fresh: bool) -> Kernel:
        return Kernel(
            bzimage=folder / "bzImage",
            vmlinux=folder / "vmlinux",
            system_map=folder / "System.map",
            config=folder / "config",
            manifest=folder / "manifest.json",
            key=self.key,
            version=str(self.plan.tree.version),
            variant=self.plan.variant,
            fresh=fresh,
        )

    def make(self, target: Path) -> None:
        """Build into the new cache entry `target`."""
        begin = time.monotonic()
        with self.cache.lock("work", self.work_key), host_trouble(f"building in {self.settings.cache}"):
            work = self.settings.cache / "work" / self.work_key
            log = self.settings.cache / "work" / f"{self.work_key}.log"
            log.unlink(missing_ok=True)
            if (work / _BUILDING).exists() or not (work / ".config").exists():
                self._prepare(work, log)
            else:
                self._refresh(work)
            (work / _BUILDING).touch()
            expected = self._expected()
            compiled = make(work, self.toolchain, self.settings.jobs, self.journal, log, expected)
            (work / _BUILDING).unlink()
            findings = self._audit(work, log)
            self._keep(work, target, log, findings, compiled, time.monotonic() - begin)

    def _prepare(self, work: Path, log: Path) -> None:
        shutil.rmtree(work, ignore_errors=True)
        fresh = work.with_name(f"{work.name}.new")
        shutil.rmtree(fresh, ignore_errors=True)
        port.port(self.plan.tree, fresh, self.ledger, self.plan.patches, self.journal)
        with self.journal.stage("configure", self.plan.variant):
            configure(fresh, self.options, self.journal, log)
        fresh.rename(work)

    def _refresh(self, work: Path) -> None:
        """Copy kvmd's files into a work tree that was built before; only what differs, so that make sees it."""
        for record in self.ledger.records:
            if not record.install.startswith("kvmd/"):
                continue
            source = resources.folder("kvmd") / record.install.partition("/")[2]
            for name in record.files:
                if (work / name).read_bytes() != source.read_bytes():
                    (work / name).write_bytes(source.read_bytes())

    def _expected(self) -> int | None:
        """How many sources the last kernel of this variant took; a guess for the progress bar only."""
        counts = [
            manifest.compiled
            for path in sorted((self.settings.cache / "kernels").glob("*/manifest.json"))
            if (manifest := msgspec.json.decode(path.read_bytes(), type=Manifest)).variant == self.plan.variant
        ]
        return max(counts, default=None)

    def _audit(self, work: Path, log: Path) -> Audit:
        with self.journal.stage("audit"):
            result = audit(work, self.toolchain, smp=self.plan.variant == "smp")
        if result.findings:
            raise AuditError(
                "; ".join(result.findings),
                doing="auditing the link",
                log=log,
                hint="compare with the flags in lab/build/toolchain.py; each has its reason beside it",
            )
        return result

    def _keep(self, work: Path, target: Path, log: Path, result: Audit, compiled: int, seconds: float) -> None:
        names = {
            "arch/i386/boot/bzImage": "bzImage",
            "vmlinux": "vmlinux",
            "System.map": "System.map",
            ".config": "config",
        }
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
        )
        (target / "manifest.json").write_bytes(msgspec.json.format(msgspec.json.encode(manifest, enc_hook=str)))


_INCLUDE = re.compile(r"^\s*#\s*include.*$", re.MULTILINE)


def _without_kvmd(ledger: Ledger) -> str:
    """A digest over the ledger, and of kvmd's files only over what make's dependencies were computed from."""
    texts = [msgspec.json.encode(record) for record in ledger.records]
    for record in ledger.records:
        if record.install:
            folder, _, name = record.install.partition("/")
            text = (resources.folder(folder) / name).read_text(encoding="utf-8")
            texts.append("\n".join(_INCLUDE.findall(text)).encode() if folder == "kvmd" else text.encode())
    return digest(*texts)
