"""The options of the command line, each of them once: the same thing has the same name in every sub-command."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import msgspec
import typer

from lab.scenario.subject import Subject
from lab.sizes import CPUS, DEFAULT_SWAP_MIB, RAM_MIB, SWAP_MIB


def _kernels() -> list[str]:
    from lab.source import kernels

    return [str(spec.name) for spec in kernels()]


def _scenarios() -> list[str]:
    suite = Path(__file__).parents[1] / "scenario" / "suite"  # the runner knows, but takes a while to import
    return sorted(path.stem.removeprefix("test_") for path in suite.glob("test_*.py"))


def _mutants() -> list[str]:
    from lab.mutants.table import load

    return [mutant.id for mutant in load()]


Compiler = Annotated[str | None, typer.Option("--cc", metavar="CC", help="The compiler, such as gcc-11.")]
Fragments = Annotated[list[Path] | None, typer.Option("--fragment", metavar="FILE", help="More configuration options.")]
Patches = Annotated[list[Path] | None, typer.Option("--patch", metavar="FILE", help="A unified diff, on top.")]
Mutant = Annotated[
    str | None,
    typer.Option("--mutant", metavar="ID", help="With a known defect put back.", autocompletion=_mutants),
]
Mutants = Annotated[
    list[str] | None,
    typer.Option("--mutant", metavar="ID", help="Only this one; repeatable.", autocompletion=_mutants),
]
Checks = Annotated[
    bool,
    typer.Option("--checks/--no-checks", help="A kernel of today watches its locks, slabs and leaks."),
]
Built = Annotated[
    Path | None, typer.Option("--built", metavar="DIR", help="A built kernel: a folder below the cache's kernels/.")
]
Kernels = Annotated[
    str, typer.Option("--kernel", metavar="EXPR", help="Names, patterns, ranges: '2.3.99-pre*,>=2.4.0-test9'.")
]
Cpus = Annotated[
    int | None,
    typer.Option(min=CPUS[0], max=CPUS[-1], metavar="N", help="Processors (default: as the kernel needs)."),
]
Ram = Annotated[
    int | None,
    typer.Option(min=RAM_MIB[0], max=RAM_MIB[-1], metavar="MIB", help="Memory (default: as the kernel needs)."),
]
Swap = Annotated[
    int | None,
    typer.Option(
        min=SWAP_MIB[0], max=SWAP_MIB[-1], metavar="MIB", help=f"The swap disk (default: {DEFAULT_SWAP_MIB})."
    ),
]
CpuNumbers = Annotated[str, typer.Option("--cpus", metavar="N,N", help="Processors (default: as each kernel needs).")]
RamSizes = Annotated[str, typer.Option("--ram", metavar="MIB,MIB", help="Memory (default: as each kernel needs).")]
SwapSizes = Annotated[
    str, typer.Option("--swap", metavar="MIB,MIB", help=f"The swap disk (default: {DEFAULT_SWAP_MIB}).")
]
Scenario = Annotated[
    str, typer.Argument(metavar="SCENARIO", help="A name, or a path of a test.", autocompletion=_scenarios)
]
Scenarios = Annotated[
    list[str] | None,
    typer.Argument(metavar="SCENARIO", help="Names, or paths of tests.", autocompletion=_scenarios),
]
Seed = Annotated[int | None, typer.Option(metavar="N", help="Of the patterns, and of every choice.")]
Seeds = Annotated[int, typer.Option(min=1, metavar="N", help="With N seeds, from --seed on.")]
Timeout = Annotated[float, typer.Option(min=1, metavar="S", help="The longest time of one scenario, in seconds.")]
Workers = Annotated[int | None, typer.Option(min=1, metavar="N", help="How many at once (default: one a core).")]
Dask = Annotated[
    str, typer.Option(metavar="ADDRESS", help="On a Dask cluster: its scheduler, or local: of N workers on this host.")
]
Listing = Annotated[bool, typer.Option("--list", help="List what can be named here.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON value and nothing else.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done.")]
Output = Annotated[Path | None, typer.Option(metavar="FILE", help="Write it there.")]


class Source(msgspec.Struct, frozen=True):
    """Which kernel: a name, or whatever a tree is, or, without either, the one that the lab chooses."""

    kernel: Annotated[
        str | None,
        typer.Option("--kernel", metavar="NAME", help="A kernel's name, such as 2.3.99-pre3.", autocompletion=_kernels),
    ] = None
    tree: Annotated[Path | None, typer.Option(metavar="PATH", help="Its source: a folder or a tarball.")] = None
    called: Annotated[
        str | None, typer.Option("--as", metavar="NAME", help="Call it 2.3.99-pre3-5, whatever its Makefile says.")
    ] = None
    sha256: Annotated[str | None, typer.Option(metavar="HEX", help="What the tarball must be.")] = None
    accept_changed: Annotated[
        bool, typer.Option("--accept-changed", help="Go on with a tree that changed since its first use.")
    ] = False

    def subject(
        self,
        *,
        cc: str | None = None,
        fragments: list[Path] | None = None,
        patches: list[Path] | None = None,
        mutant: str | None = None,
        checks: bool = True,
        built: Path | None = None,
    ) -> Subject:
        """Return it with how it is to be built."""
        return Subject(
            name=self.kernel,
            tree=self.tree,
            called=self.called,
            sha256=self.sha256,
            accept_changed=self.accept_changed,
            cc=cc,
            fragments=tuple(fragments or ()),
            patches=tuple(patches or ()),
            mutant=mutant,
            checks=checks,
            built=built,
        )


class Size(msgspec.Struct, frozen=True):
    """The dimensions of a machine."""

    cpus: Cpus = None
    ram: Ram = None
    swap: Swap = None

    @property
    def words(self) -> list[str]:
        """Those that were given, as options."""
        return [f"--{name}={value}" for name, value in msgspec.structs.asdict(self).items() if value is not None]

    @property
    def given(self) -> dict[str, int]:
        """Those that were given, by the names that a MachineSpec has for them."""
        found = {"cpus": self.cpus, "ram_mib": self.ram, "swap_mib": self.swap}
        return {name: value for name, value in found.items() if value is not None}


class HostChoice(msgspec.Struct, frozen=True):
    """Where it is done."""

    host: Annotated[str | None, typer.Option(metavar="SSH", help="Do it on another host: ssh://user@box:port.")] = None
    accept_new_host_key: Annotated[
        bool, typer.Option("--accept-new-host-key", help="If its key is not known, store it and go on.")
    ] = False


BUNDLES: tuple[type[msgspec.Struct], ...] = (Source, Size, HostChoice)


def expand(command: Callable[..., None]) -> Callable[..., None]:
    """Put the options of a bundle in the place of a parameter that is one; the command gets the bundle."""
    hints = get_type_hints(command, include_extras=True)
    bundles: dict[str, type[msgspec.Struct]] = {}
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        kind = hints[parameter.name]
        if kind in BUNDLES:
            bundles[parameter.name] = kind
            parameters += _options(kind)
        else:
            parameters.append(parameter.replace(annotation=kind, kind=inspect.Parameter.KEYWORD_ONLY))

    @wraps(command)
    def expanded(**given: Any) -> None:
        for name, kind in bundles.items():
            given[name] = kind(**{field: given.pop(field) for field in kind.__struct_fields__})
        command(**given)

    expanded.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    expanded.__annotations__ = {each.name: each.annotation for each in parameters}
    return expanded


def _options(bundle: type[msgspec.Struct]) -> list[inspect.Parameter]:
    hints = get_type_hints(bundle, include_extras=True)
    fields = msgspec.structs.fields(bundle)
    return [
        inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name]
        )
        for field in fields
    ]
