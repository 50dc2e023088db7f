"""A tree, packed for the way to another host."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from lab.source.catalogue import shape_of
from lab.source.contents import scan
from lab.source.tree import Tree

TOP = "linux"  # the folder in the tarball


@contextmanager
def packed(tree: Tree, folder: Path) -> Iterator[IO[bytes]]:
    """Give a compressed tarball of the part of a tree that counts, as an unnamed file in `folder`."""
    shape = shape_of(tree.version)
    files, links = scan(tree.path)
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryFile(dir=folder) as sink:
        with tarfile.open(fileobj=sink, mode="w:gz", compresslevel=1) as out:
            for path in sorted([*files, *links]):
                name = os.fsdecode(path)
                if shape is None or not shape.needed or shape.counts(name):
                    out.add(tree.path / name, f"{TOP}/{name}", recursive=False)
        sink.seek(0)
        yield sink
