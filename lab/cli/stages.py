"""Sub-commands for the stages up to a kernel: kernels, fetch, port, build, image."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from lab.cli import common
from lab.cli.options import (
    AsJson,
    Checks,
    Compiler,
    Cpus,
    DryRun,
    Fragments,
    HostChoice,
    Patches,
    Size,
    Source,
    Swap,
    expand,
)
from lab.sizes import DEFAULT_SWAP_MIB


def register(app: typer.Typer) -> None:
    """Add the sub-commands."""
    for command in (kernels, fetch, port, build, image):
        app.command()(expand(command))


def kernels(as_json: AsJson = False) -> None:
    """List the kernels that the lab knows and those in KVMD_LAB_TREES, and where each would come from."""
    from lab import source
    from lab.settings import Settings

    settings = Settings.from_environment()
    rows = [{"name": name, "where": source.locate(name, settings)} for name in source.known(settings)]
    text = "\n".join(f"{row['name']:<18} {row['where']}" for row in rows)
    common.say(rows, as_json=as_json, text=text)


def fetch(source: Source, as_json: AsJson = False, dry_run: DryRun = False) -> None:
    """Get a kernel's pristine source tree: from --tree, from KVMD_LAB_TREES, from the cache or by download."""
    with common.bench(source.subject(), quiet=as_json) as bench:
        if dry_run:
            from lab.source import choose, locate

            name = source.kernel or (None if source.tree else choose(bench.settings).name)
            where = "tree" if source.tree or name is None else locate(name, bench.settings)
            common.say({"where": where}, as_json=as_json, text=f"{name or source.tree}: {where}")
            return
        found = bench.tree()
        common.say(found, as_json=as_json, text=f"{found.version}  {found.path}\ndigest {found.digest}")


def port(
    source: Source,
    to: Annotated[Path | None, typer.Option(metavar="DIR", help="Write the ported tree there.")] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="List what each record of the ledger does, and why.")
    ] = False,
    export: Annotated[Path | None, typer.Option(metavar="DIR", help="Write the port as a series of patches.")] = None,
    patch: Patches = None,
    as_json: AsJson = False,
) -> None:
    """Port a tree to today's compiler, with kvmd in it; without --to or --export only try whether every record fits."""
    from lab import port as porting
    from lab.errors import UsageError
    from lab.port.patches import export as export_series

    with common.bench(source.subject(), quiet=as_json) as bench:
        own = bench.settings.ledger
        pristine, ledger = bench.tree(), porting.own_ledger() if own is None else porting.load(own)
        if export is not None:
            for path in export_series(pristine.path, pristine.version, ledger, export):
                common.say(str(path), as_json=False, text="" if as_json else str(path))
        if to is not None:
            if to.exists():
                raise UsageError(f"{to} is there already", doing="porting", hint="name a new folder")
            result = porting.port(pristine, to, ledger, patch or (), bench.journal)
        else:
            result = porting.apply(pristine.path, pristine.version, ledger, write=False)
    if as_json:
        common.say(result, as_json=True)
        return
    for done in result.applied:
        places = ", ".join(f"{path} ({count})" if count > 1 else path for path, count in done.places.items())
        print(f"{done.id} [{done.kind}]\n    {done.why}\n    {places}" if explain else f"{done.id}: {places}")  # noqa: T201
    print(f"{len(result.applied)} records fit {result.version}", file=sys.stderr)  # noqa: T201


def build(
    source: Source,
    host: HostChoice,
    cpus: Cpus = None,
    cc: Compiler = None,
    checks: Checks = True,
    fragment: Fragments = None,
    patch: Patches = None,
    as_json: AsJson = False,
    dry_run: DryRun = False,
) -> None:
    """Build a kernel with kvmd from a tree, and audit the result."""
    wanted = source.subject(cc=cc, fragments=fragment, patches=patch, checks=checks)
    with common.bench(wanted, host, quiet=as_json) as bench:
        variant = "smp" if bench.spec(**Size(cpus=cpus).given).cpus > 1 else "up"
        if dry_run:
            common.say(bench.plan(variant), as_json=as_json, text=f"would build {bench.plan(variant)}")
            return
        kernel = bench.kernel(variant)
        manifest = kernel.read_manifest()
        counted = manifest.audit
        text = (
            f"{kernel.bzimage}\n{kernel.version} {variant}, {manifest.compiler}\n"
            f"audit: {counted.linked['initcalls']} initcalls, {counted.linked['setup entries']} setup entries, "
            f"{counted.exception_entries} exception entries, nothing to complain of"
        )
        common.say({"kernel": kernel, "manifest": manifest}, as_json=as_json, text=text)


def image(swap: Swap = None, as_json: AsJson = False) -> None:
    """Build the guest's programs and disks."""
    with common.bench(Source().subject(), quiet=as_json) as bench:
        disks = bench.image(swap or DEFAULT_SWAP_MIB)
        common.say(disks, as_json=as_json, text=f"{disks.root}\n{disks.swap}")
