"""Trees, packed."""

from __future__ import annotations

import tarfile
from pathlib import Path

from lab.source import Tree
from lab.source.packing import packed
from lab.version import KernelVersion


def test_tree_is_packed_with_the_files_that_count_and_links(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "init").mkdir(parents=True)
    (tree / "init" / "main.c").write_text("int main;\n")
    (tree / "link").symlink_to("init/main.c")
    made = Tree(tree, KernelVersion("2.3.99-pre3"), "abc", "here")
    with packed(made, tmp_path / "cache") as file, tarfile.open(fileobj=file) as tarball:
        assert tarball.getnames() == ["linux/init/main.c", "linux/link"]
        assert tarball.getmember("linux/link").linkname == "init/main.c"
    assert list((tmp_path / "cache").iterdir()) == []
