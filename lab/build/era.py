"""What differs between the kernels of 2000 and those of today in how they are configured, built and audited."""

from __future__ import annotations

import msgspec

from lab.build.config import Completed
from lab.build.toolchain import FLAGS
from lab.errors import ConfigError
from lab.version import KernelVersion, VersionRange


class Era(msgspec.Struct, frozen=True, kw_only=True):
    """A range of versions that are built alike.

    `folder` holds the fragments, below the ledger's `config`; `fragments` says which files make a kernel for one
    processor ("up") or several ("smp"), with those of `until` for the versions beside them and those of `checks` for
    one that watches itself or of `lean` for one that does not. With `shared`, one that watches itself is always for
    several, and serves one as well. `flags` go into make's CC, each with its reason; `tools` are programs besides the
    compiler, with their packages. `completed_by` is the tree's own way to give every other option a value, `depends`
    whether it must then be told to look for dependencies. `compiles`: about how many sources a build takes, as long as
    no build has counted them.
    """

    kernels: str
    folder: str
    fragments: dict[str, tuple[str, ...]]
    until: tuple[tuple[str, str], ...] = ()
    checks: tuple[str, ...] = ()
    lean: tuple[str, ...] = ()
    shared: bool = False
    flags: tuple[tuple[str, str], ...]
    tools: tuple[tuple[str, str], ...] = ()
    completed_by: Completed
    depends: bool
    bzimage: str
    compiles: int | None = None
    historic: bool

    def kernel_for(self, variant: str, *, checks: bool = True) -> str:
        """Return the variant whose kernel serves for this one; ConfigError if there is none."""
        if variant not in self.fragments:
            raise ConfigError(f"there is no variant {variant!r}", hint=f"variants: {', '.join(self.fragments)}")
        return "smp" if self.shared and checks else variant

    def fragments_for(self, variant: str, version: KernelVersion, *, checks: bool) -> tuple[str, ...]:
        """Return the names of the fragments that make a kernel; `checks`: with what it watches of itself, if it can."""
        of_version = (name for kernels, name in self.until if version in VersionRange(kernels))
        return (*self.fragments[variant], *of_version, *(self.checks if checks else self.lean))


HISTORIC = Era(
    kernels="<2.5",
    folder=".",
    fragments={"up": ("base", "up"), "smp": ("base", "smp")},
    flags=FLAGS,
    completed_by="oldconfig",
    depends=True,
    bzimage="arch/i386/boot/bzImage",
    historic=True,
)
# It knows the compilers of today, so no flag is needed.
TODAY = Era(
    kernels=">=6.1",
    folder="today",
    fragments={"up": ("base",), "smp": ("base", "smp")},
    checks=("checks",),
    lean=("lean",),
    shared=True,
    until=(("<6.10", "before-6.10"), ("<6.15", "before-6.15")),
    flags=(),
    tools=(("flex", "flex"), ("bison", "bison"), ("bc", "bc")),
    completed_by="allnoconfig",
    depends=False,
    bzimage="arch/x86/boot/bzImage",
    compiles=747,
    historic=False,
)
ERAS = (HISTORIC, TODAY)


def era_of(version: KernelVersion) -> Era:
    """Return the era of a kernel; ConfigError for a version that nobody has built yet."""
    for era in ERAS:
        if version in VersionRange(era.kernels):
            return era
    known = " or ".join(era.kernels for era in ERAS)
    raise ConfigError(f"the lab does not know how to build {version}", hint=f"it builds {known}")
