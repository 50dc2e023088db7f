"""What scenarios work with: a tree, its kernels, images and machines, each made once and shared by all tests."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import msgspec

from lab import build, image, source
from lab.cache import Cache
from lab.errors import LabError, UsageError
from lab.journal import Journal
from lab.scenario.backend import backend
from lab.scenario.subject import Subject
from lab.settings import Settings
from lab.version import KernelVersion

if TYPE_CHECKING:  # a build needs nothing of a machine, and should not wait for its imports
    from lab.machine.machine import Machine, Setup
    from lab.machine.spec import MachineSpec

T = TypeVar("T")


class Workbench:
    """Makes trees, kernels, images and machines on demand; use it in `with`, or the machines stay.

    Nobody cleans the cache meanwhile.
    """

    def __init__(
        self,
        subject: Subject,
        settings: Settings,
        journal: Journal,
        run: Path | None = None,
        tree: source.Tree | None = None,
    ) -> None:
        """`run` is the folder that gets the console logs; `tree` is the subject's, if somebody has it already."""
        self.subject = subject
        self.settings = settings
        self.journal = journal
        self.run = run
        self.cache = Cache(settings.cache)
        self._backend = backend(settings, journal)
        self._tree = tree
        self._failures: dict[str, LabError] = {}
        self._kernels: dict[str, build.Kernel] = {}
        self._machines: dict[MachineSpec, Machine] = {}
        self._open = ExitStack()
        self._open.callback(self._backend.close)

    def __enter__(self) -> Self:
        self.cache.share()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._machines.clear()
        self._open.close()

    def tree(self) -> source.Tree:
        """Return the subject's pristine tree."""
        if self._tree is None:
            self._tree = self._once("source", self._obtain)
        return self._tree

    def _obtain(self) -> source.Tree:
        subject = self.subject
        name, why = subject.name, str(subject.tree or "")
        if name is None and subject.tree is None:
            choice = source.choose(self.settings)
            name, why = choice.name, f"taken because {choice.why}"
        with self.journal.stage("source", f"{name or ''} {why}".strip()):
            return source.obtain(
                name,
                tree=subject.tree,
                called=subject.called,
                sha256=subject.sha256,
                accept_changed=subject.accept_changed,
                settings=self.settings,
                journal=self.journal,
            )

    def _once(self, name: str, make: Callable[[], T]) -> T:
        """Make something; what failed before fails again at once, so that a suite does not repeat a long build."""
        if name in self._failures:
            raise self._failures[name]
        try:
            return make()
        except LabError as error:
            self._failures[name] = error
            raise

    def kernel(self, variant: str = "up") -> build.Kernel:
        """Return the subject's kernel with kvmd, for one processor ("up") or several ("smp")."""
        if variant not in self._kernels:
            self._kernels[variant] = self._once(f"kernel {variant}", lambda: self._kernel(variant))
        return self._kernels[variant]

    def _kernel(self, variant: str) -> build.Kernel:
        if self._built is None:
            return self.kernel_of(self.plan(variant))
        if variant == "smp" and not self._built.smp:
            raise UsageError(f"{self._built.bzimage.parent} is a kernel for one processor", hint="--cpus 1")
        self.journal.record("note", text=f"built before: {self._built.version} in {self._built.bzimage.parent}")
        return self._built

    @property
    def _built(self) -> build.Kernel | None:
        return None if self.subject.built is None else build.built(self.subject.built)

    @property
    def version(self) -> KernelVersion:
        """The version of the subject's kernel."""
        built = self._built
        return self.tree().version if built is None else KernelVersion(built.version)

    def kernel_of(self, plan: build.Plan) -> build.Kernel:
        """Return the kernel that a plan describes, which may be another one than the subject's."""
        return self._backend.kernel(plan, self.journal)

    def plan(self, variant: str) -> build.Plan:
        """Return what `kernel` would build."""
        subject = self.subject
        return build.Plan(
            tree=self.tree(),
            variant=variant,
            ledger=self.settings.ledger,
            fragments=subject.fragments,
            patches=subject.patches,
            cc=subject.cc,
            mutant=subject.mutant,
            checks=subject.checks,
        )

    def image(self, swap_mib: int) -> image.Image:
        """Return the guest's disks."""
        return self._backend.image(self.journal, swap_mib)

    def spec(self, **given: Any) -> MachineSpec:
        """Return the machine that suits the subject's kernel, with the dimensions that are given."""
        from lab.machine.spec import spec_for

        return spec_for(self.version, given)

    def machine(self, spec: MachineSpec) -> Machine:
        """Return a machine that has just been booted, as far as its guest can tell; the same one for equal specs.

        All others stand still from now on: a guest that nobody uses takes time from the one that somebody does, and
        one that skips idle time a whole core of the host.
        """
        from lab.machine.machine import Machine
        from lab.machine.spec import MachineState

        known = self._machines.get(spec)
        for other in self._machines.values():
            if other is not known and other.state is MachineState.RUNNING:
                other.stop()
        if known is not None:
            known.restore()
            return known

        machine = Machine.restored(**self.setup(spec))
        self._open.callback(machine.close)
        self._machines[spec] = machine
        return machine

    def setup(self, spec: MachineSpec) -> Setup:
        """Return the arguments of `Machine.boot` and `Machine.restored` for this subject."""
        from lab.machine.machine import Setup

        kernel = self.kernel("smp" if spec.cpus > 1 else "up")
        disks = self.image(spec.swap_mib)
        return Setup(
            kernel_image=kernel.bzimage,
            system_map=kernel.system_map,
            root=disks.root,
            swap=disks.swap,
            spec=msgspec.structs.replace(spec, disks=self.spec().disks),
            settings=self.settings,
            cache=self.cache,
            journal=self.journal,
            log=None if self.run is None else self.run / f"console-{len(self._machines)}.log",
            host=self._backend.host(),
        )
