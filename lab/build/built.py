"""Kernels that were built before: from the folder of one, or looked for in the cache."""

from __future__ import annotations

from pathlib import Path

import msgspec

from lab.build.kernel import Kernel, Manifest, Plan, kernel_in, key_of
from lab.cache import Cache
from lab.errors import UsageError
from lab.settings import Settings


def built(folder: Path) -> Kernel:
    """Return the kernel in a folder that `build` made, wherever that was; UsageError: it is no such folder."""
    try:
        manifest = msgspec.json.decode((folder / "manifest.json").read_bytes(), type=Manifest)
    except (OSError, msgspec.MsgspecError) as error:
        raise UsageError(
            f"{folder} holds no built kernel: {error}", hint="a folder below the cache's kernels/"
        ) from error
    return kernel_in(folder, manifest.version, manifest.variant, fresh=False)


def find(plan: Plan, settings: Settings) -> Kernel | None:
    """Return the kernel that a plan describes from the cache; None: it would have to be built."""
    folder = Cache(settings.cache).find("kernels", key_of(plan, settings))
    return None if folder is None else built(folder)
