"""A cache is cleaned of the lab's own things, whatever else is in its folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.cache import Cache
from lab.cleaning import remove, things
from lab.errors import HostError

KEY = "0123456789abcdef" * 2


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A cache in a folder that has a user's things in it, also where the lab keeps its own."""
    for name in ("thesis.tex", "work/notes.txt", "logs/mail.log", "kernels/bzImage", "source/main.c", "tmp/x"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("mine")
    (tmp_path / "snapshots").symlink_to(tmp_path / "work")
    (tmp_path / "link").symlink_to("nowhere")
    return tmp_path


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir() or path.is_symlink()}


def test_what_is_somebodys_stays(root: Path) -> None:
    before = names(root)

    def fill(folder: Path) -> None:
        (folder / "large").write_bytes(bytes(1 << 20))

    cache = Cache(root)
    for kind in ("kernels", "source"):
        cache.entry(kind, KEY, fill)
    (root / "work" / f"{KEY}.log").write_text("built")
    del cache
    gone = remove(root, everything=False)
    assert {thing.path.relative_to(root).as_posix() for thing in gone} == {
        f"kernels/{KEY}",
        f"kernels/.lock-{KEY}",
        f"work/{KEY}.log",
    }
    assert sum(thing.size for thing in gone) >= 1 << 20
    assert names(root) == before | {".in-use", f"source/{KEY}/large", f"source/.lock-{KEY}"}
    remove(root, everything=True)
    assert names(root) == before | {".in-use"}


def test_folder_of_the_labs_goes_when_it_is_empty(tmp_path: Path) -> None:
    Cache(tmp_path).entry("image", KEY, lambda folder: (folder / "disk").touch())
    remove(tmp_path, everything=False)
    assert [path.name for path in tmp_path.iterdir()] == [".in-use"]


def test_link_in_the_place_of_an_entry_goes_and_not_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    (tmp_path / "kernels").mkdir()
    (tmp_path / "kernels" / KEY).symlink_to(tmp_path / "mine")
    (thing,) = things(tmp_path, everything=False)
    remove(tmp_path, everything=False)
    assert not thing.path.is_symlink()
    assert (tmp_path / "mine" / "thesis.tex").exists()


def test_what_a_bench_left_that_was_killed_goes(tmp_path: Path) -> None:
    (tmp_path / "kvmd-lab-bench-x7" / "0").mkdir(parents=True)
    remove(tmp_path, everything=False)
    assert [path.name for path in tmp_path.iterdir()] == [".in-use"]


def test_cache_in_use_is_refused(tmp_path: Path) -> None:
    user = Cache(tmp_path)
    user.entry("image", KEY, lambda folder: (folder / "disk").touch())
    with pytest.raises(HostError, match="is in use"):
        remove(tmp_path, everything=False)
    assert user.find("image", KEY)
