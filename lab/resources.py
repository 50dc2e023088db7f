"""Where the C sources, the ledger and the guest sources lie: in a checkout beside `lab/`, in a wheel inside it."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
# What sets up a checkout: the launcher, and what it installs by.
TOP_FILES = ("LICENSE", "README.md", "kvmd-lab", "pyproject.toml")


def package() -> Path:
    """Return the folder of the package itself."""
    return _PACKAGE


def folder(name: str) -> Path:
    """Return the folder `kvmd`, `images` or `kernel-patches` as an absolute path."""
    packed = _PACKAGE / "data" / name
    return packed if packed.is_dir() else _PACKAGE.parent / name


def top_file(name: str) -> Path:
    """Return one of the TOP_FILES."""
    packed = _PACKAGE / "data" / "top" / name
    return packed if packed.is_file() else _PACKAGE.parent / name
