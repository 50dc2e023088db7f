"""A pristine tree, the porting ledger and kvmd, turned into a ported tree and a list of what was done."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab import resources
from lab.errors import PortError
from lab.host_trouble import host_trouble
from lab.journal import Journal
from lab.port import patches
from lab.port.copy import copy_tree
from lab.port.engine import Applied, Ported, apply
from lab.port.ledger import Ledger, Record, load
from lab.source import Tree, shape_of
from lab.version import KernelVersion

__all__ = ["Applied", "Ledger", "Ported", "Record", "apply", "load", "own_ledger", "port"]


def own_ledger() -> Ledger:
    """Read the project's own ledger."""
    return load(resources.folder("kernel-patches"))


def port(tree: Tree, target: Path, records: Ledger, user_patches: Sequence[Path], journal: Journal) -> Ported:
    """Copy what an i386 build needs of `tree` to `target` (which must not exist) and port it there.

    The user's patches go on top, in their order. A record or a patch that does not fit is a PortError.
    """
    if target.exists():
        raise PortError(f"{target} is there already", doing=f"porting {tree.version}", hint="name a new folder")
    if target.resolve().is_relative_to(tree.path.resolve()):
        raise PortError(f"{target} lies inside the tree", doing=f"porting {tree.version}", hint="name one outside it")
    with (
        journal.stage("port", f"{tree.version}, {len(records.records)} records"),
        host_trouble(f"porting into {target}"),
    ):
        with ThreadPoolExecutor(1) as aside:
            copying = aside.submit(copy_tree, tree.path, target, shape_of(tree.version))

            def copied() -> Path:
                copying.result()
                return target

            ported = apply(tree.path, KernelVersion(str(tree.version)), records, into=copied)
        for patch in user_patches:
            patches.apply_patch(target, patch, journal)
    return ported
