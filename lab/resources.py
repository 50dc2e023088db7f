"""Where the C sources, the ledger and the guest sources lie: in a checkout beside `lab/`, in a wheel inside it."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def folder(name: str) -> Path:
    """Return the folder `kvmd`, `images` or `kernel-patches` as an absolute path."""
    packed = _PACKAGE / "data" / name
    return packed if packed.is_dir() else _PACKAGE.parent / name
