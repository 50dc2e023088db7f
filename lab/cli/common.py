"""What the sub-commands share: options, the subject they describe, the journal's terminal view, output."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from lab.errors import UsageError
from lab.journal import Journal
from lab.scenario.subject import Subject
from lab.settings import Settings

if TYPE_CHECKING:
    from lab.scenario.workbench import Workbench

Name = Annotated[str | None, typer.Argument(metavar="KERNEL", help="A kernel's name, such as 2.3.99-pre3.")]
KernelName = Annotated[str | None, typer.Option("--kernel", metavar="NAME", help="A kernel's name: 2.3.99-pre3.")]
TreePath = Annotated[Path | None, typer.Option("--tree", metavar="PATH", help="Its source: a folder or a tarball.")]
Pin = Annotated[str | None, typer.Option("--sha256", metavar="HEX", help="What the tarball must be.")]
Changed = Annotated[bool, typer.Option("--accept-changed", help="Go on with a tree that changed since its first use.")]
Compiler = Annotated[str | None, typer.Option("--cc", metavar="CC", help="The compiler, such as gcc-11.")]
Smp = Annotated[bool, typer.Option("--smp", help="For several processors.")]
Fragments = Annotated[list[Path] | None, typer.Option("--fragment", metavar="FILE", help="More configuration options.")]
Patches = Annotated[list[Path] | None, typer.Option("--patch", metavar="FILE", help="A unified diff, on top.")]
Defect = Annotated[str | None, typer.Option("--control", metavar="ID", help="With a known defect put back.")]
Checks = Annotated[
    bool,
    typer.Option("--checks/--no-checks", help="A kernel of today watches its locks, slabs and leaks."),
]
Built = Annotated[
    Path | None, typer.Option("--built", metavar="DIR", help="A built kernel: a folder below the cache's kernels/.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON value and nothing else.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done.")]
Cpus = Annotated[int | None, typer.Option("--cpus", metavar="N", help="Processors (default: what suits the kernel).")]
Ram = Annotated[int | None, typer.Option("--ram", metavar="MIB", help="The guest's memory.")]
RemoteHost = Annotated[
    str | None, typer.Option("--host", metavar="SSH", help="Do it on another host: ssh://user@box:port.")
]
NewKey = Annotated[bool, typer.Option("--accept-new-host-key", help="If its key is not known, store it and go on.")]
Swap = Annotated[int | None, typer.Option("--swap", metavar="MIB", help="Its swap disk.")]


def subject(
    name: str | None = None,
    tree: Path | None = None,
    *,
    sha256: str | None = None,
    accept_changed: bool = False,
    cc: str | None = None,
    fragments: list[Path] | None = None,
    patches: list[Path] | None = None,
    control: str | None = None,
    checks: bool = True,
    built: Path | None = None,
) -> Subject:
    """Put the options together; without a name a given tree is whatever it is, and no tree leaves the choice to us."""
    return Subject(
        name=name,
        tree=tree,
        sha256=sha256,
        accept_changed=accept_changed,
        cc=cc,
        fragments=tuple(fragments or ()),
        patches=tuple(patches or ()),
        control=control,
        checks=checks,
        built=built,
    )


@contextmanager
def bench(
    of: Subject, *, quiet: bool = False, run: Path | None = None, host: str | None = None, new_key: bool = False
) -> Iterator[Workbench]:
    """Open a workbench, maybe on another host; its stages are told on standard error, unless `quiet`."""
    from lab.report.lines import tell
    from lab.scenario.workbench import Workbench

    with Journal(None if run is None else run / "journal.jsonl") as journal:
        if not quiet:
            journal.listen(tell(sys.stderr))
        settings = Settings.from_environment().at(host, accept_new_key=new_key)
        with Workbench(of, settings, journal, run) as opened:
            yield opened


@contextmanager
def result_file(path: Path | None) -> Iterator[IO[bytes] | None]:
    """Open a file for what will take long to find, and leave what is in it; UsageError: it cannot be written.

    If nothing comes of it, a file that was not there is not there.
    """
    if path is None:
        yield None
        return
    new = not path.exists()
    try:
        file = path.open("ab")
    except OSError as error:
        raise UsageError(f"{path} cannot be written ({error.strerror})") from error
    with file:
        try:
            yield file
        except BaseException:
            if new:
                path.unlink(missing_ok=True)
            raise


def say(value: Any, *, as_json: bool, text: str = "") -> None:
    """Print `value` as JSON, or `text` for people."""
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(value, enc_hook=str)).decode())  # noqa: T201
    elif text:
        print(text)  # noqa: T201


def host_options(host: str | None, *, new_key: bool) -> list[str]:
    """Return pytest's options for another host; UsageError: it has no such address."""
    from lab.remote.address import parse

    if host:
        parse(host)
    return [*([f"--host={host}"] if host else []), *(["--accept-new-host-key"] if new_key else [])]


def dimensions(cpus: int | None, ram: int | None, swap: int | None) -> dict[str, int]:
    """Return the dimensions of a machine that were given."""
    given = {"cpus": cpus, "ram_mib": ram, "swap_mib": swap}
    return {name: value for name, value in given.items() if value is not None}
