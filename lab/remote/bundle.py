"""What goes over once: the lab itself, packed and named by what is in it."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import msgspec

from lab import resources
from lab.cache import digest

FOLDERS = ("images", "kernel-patches", "kvmd")


class Bundle(msgspec.Struct, frozen=True):
    """The project's files by their paths in a checkout.

    `digest` covers paths and contents, `needs` names what they require of a virtual environment.
    """

    files: dict[str, Path]
    digest: str
    needs: str

    def packed(self) -> IO[bytes]:
        """Return them as a compressed tarball."""
        sink = io.BytesIO()
        with tarfile.open(fileobj=sink, mode="w:gz", compresslevel=6) as out:
            for name, path in self.files.items():
                out.add(path, name, recursive=False)
        sink.seek(0)
        return sink


def own() -> Bundle:
    """Return the files of the lab that runs here, from a checkout or from an installed package alike."""
    files = dict(_below(resources.package(), "lab", but="data"))
    for folder in FOLDERS:
        files.update(_below(resources.folder(folder), folder))
    files.update({name: resources.top_file(name) for name in resources.TOP_FILES})
    files = dict(sorted(files.items()))
    parts = [part for name, path in files.items() for part in (name, path.read_bytes())]
    return Bundle(files, digest(*parts)[:32], digest(files["pyproject.toml"].read_bytes())[:16])


def _below(root: Path, name: str, but: str = "") -> Iterator[tuple[str, Path]]:
    for path in sorted(root.rglob("*")):
        inside = path.relative_to(root)
        if path.is_file() and "__pycache__" not in inside.parts and inside.parts[0] != but:
            yield f"{name}/{inside.as_posix()}", path
