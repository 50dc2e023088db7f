"""Sub-commands for the stages up to a kernel: kernels, fetch, port, build, image."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from lab.cli import common
from lab.cli.common import (
    AsJson,
    Changed,
    Checks,
    Compiler,
    DryRun,
    Fragments,
    Name,
    NewKey,
    Patches,
    Pin,
    RemoteHost,
    Smp,
    TreePath,
)


def register(app: typer.Typer) -> None:
    """Add the sub-commands."""
    for command in (kernels, fetch, port, build, image):
        app.command()(command)


def kernels(as_json: AsJson = False) -> None:
    """List the kernels that the lab knows and those in KVMD_LAB_TREES, and where each would come from."""
    from lab import source
    from lab.matrix.trees import known
    from lab.settings import Settings

    settings = Settings.from_environment()
    rows = [{"name": name, "where": source.locate(name, settings)} for name in known(settings)]
    text = "\n".join(f"{row['name']:<18} {row['where']}" for row in rows)
    common.say(rows, as_json=as_json, text=text)


def fetch(
    name: Name = None,
    tree: TreePath = None,
    sha256: Pin = None,
    accept_changed: Changed = False,
    as_json: AsJson = False,
    dry_run: DryRun = False,
) -> None:
    """Get a kernel's pristine source tree: from --tree, from KVMD_LAB_TREES, from the cache or by download."""
    wanted = common.subject(name, tree, sha256=sha256, accept_changed=accept_changed)
    with common.bench(wanted, quiet=as_json) as bench:
        if dry_run:
            from lab import source

            where = "tree" if tree else source.locate(wanted.name or "", bench.settings)
            common.say({"where": where}, as_json=as_json, text=f"{wanted.name or tree}: {where}")
            return
        found = bench.tree()
        common.say(found, as_json=as_json, text=f"{found.version}  {found.path}\ndigest {found.digest}")


def port(
    name: Name = None,
    tree: TreePath = None,
    to: Annotated[Path | None, typer.Option(metavar="DIR", help="Write the ported tree there.")] = None,
    explain: Annotated[bool, typer.Option(help="List what each record of the ledger does, and why.")] = False,
    export: Annotated[Path | None, typer.Option(metavar="DIR", help="Write the port as a series of patches.")] = None,
    patch: Patches = None,
    accept_changed: Changed = False,
    as_json: AsJson = False,
) -> None:
    """Port a tree to today's compiler, with kvmd in it; without --to or --export only try whether every record fits."""
    from lab import port as porting
    from lab.errors import UsageError
    from lab.port.patches import export as export_series

    with common.bench(common.subject(name, tree, accept_changed=accept_changed), quiet=as_json) as bench:
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
    name: Name = None,
    tree: TreePath = None,
    smp: Smp = False,
    checks: Checks = True,
    cc: Compiler = None,
    fragment: Fragments = None,
    patch: Patches = None,
    sha256: Pin = None,
    accept_changed: Changed = False,
    host: RemoteHost = None,
    new_key: NewKey = False,
    as_json: AsJson = False,
    dry_run: DryRun = False,
) -> None:
    """Build a kernel with kvmd from a tree, and audit the result."""
    wanted = common.subject(
        name,
        tree,
        sha256=sha256,
        accept_changed=accept_changed,
        cc=cc,
        fragments=fragment,
        patches=patch,
        checks=checks,
    )
    with common.bench(wanted, quiet=as_json, host=host, new_key=new_key) as bench:
        variant = "smp" if smp else "up"
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


def image(
    swap: Annotated[int, typer.Option(metavar="MIB", help="Size of the swap disk.")] = 96, as_json: AsJson = False
) -> None:
    """Build the guest's programs and disks."""
    with common.bench(common.subject(), quiet=as_json) as bench:
        disks = bench.image(swap)
        common.say(disks, as_json=as_json, text=f"{disks.root}\n{disks.swap}")
