from __future__ import annotations

import errno
import shutil
import subprocess
from pathlib import Path

import pytest

from lab.errors import HostError, PortError
from lab.journal import Journal
from lab.port import Ledger, apply, load, port
from lab.port.engine import STAMP
from lab.port.patches import apply_patch, export
from lab.source import Tree
from tests.unit.port.toyport import TOY_LEDGER, TOY_TREE, VERSION, record, texts, write_ledger

PATCH = """\
--- a/init/main.c
+++ b/init/main.c
@@ -1,2 +1,3 @@
+/* Grüße */
 #include <linux/sched.h>
 #include <linux/init.h>
"""


@pytest.fixture(scope="module")
def ledger() -> Ledger:
    return load(TOY_LEDGER)


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    folder = tmp_path / "ein Ordner für 'Ärger'"
    folder.mkdir()
    return folder


@pytest.fixture
def tree() -> Tree:
    return Tree(TOY_TREE, VERSION, "digest", "toy")


def applied(series: Path, work: Path, *command: str) -> None:
    for name in (series / "series").read_text().split():
        argv = [*command, str(series / name)]
        done = subprocess.run(argv, cwd=work, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "fuzz" not in done.stdout
        assert "offset" not in done.stdout


@pytest.mark.parametrize("command", [("patch", "-p1", "-i"), ("git", "apply")])
def test_exported_series_applied_by_hand_gives_the_ported_tree(
    ledger: Ledger, tree: Tree, odd: Path, command: tuple[str, ...]
) -> None:
    port(tree, odd / "ported", ledger, (), Journal())
    export(TOY_TREE, VERSION, ledger, odd / "series")
    shutil.copytree(TOY_TREE, odd / "by hand")
    applied(odd / "series", odd / "by hand", *command)
    wanted = texts(odd / "ported")
    del wanted[STAMP]
    assert texts(odd / "by hand") == wanted


def test_exported_series_names_each_record_that_changes_something(ledger: Ledger, odd: Path) -> None:
    paths = export(TOY_TREE, VERSION, ledger, odd / "series")
    ids = [each.id for each in ledger.records if each.holds_for(VERSION)]
    assert [path.name.partition("-")[2] for path in paths] == [f"{name}.patch" for name in ids]
    head = (odd / "series" / "0001-toy-strings.patch").read_text()
    assert head.startswith("Subject: toy-strings (string)\n\na literal over a line end\n\n---\ndiff --git a/include/")


@pytest.mark.parametrize(
    "text",
    [b"one\ntwo", b"one\r\ntwo\r\n", b"one\x0ctwo\n\x0b\n", b"a\x00one\x00b\nc\n", b"\xe9one\xff\n", b"\n\none\n\n"],
)
def test_file_of_strange_lines_exported_and_applied_gives_its_bytes(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "a.c").write_bytes(text)
    ledger = write_ledger(tmp_path / "ledger", record(match="one", replace="three ü", look_in="text", why="Grüße µ"))
    export(tmp_path / "tree", VERSION, ledger, tmp_path / "series")
    applied(tmp_path / "series", tmp_path / "tree", "patch", "-p1", "--binary", "-i")
    assert (tmp_path / "tree" / "a.c").read_bytes() == text.replace(b"one", "three ü".encode())


def test_export_writes_nothing_into_the_tree(ledger: Ledger, odd: Path) -> None:
    shutil.copytree(TOY_TREE, odd / "tree")
    export(odd / "tree", VERSION, ledger, odd / "series")
    assert texts(odd / "tree") == texts(TOY_TREE)


def test_export_to_a_folder_that_holds_something_is_refused(ledger: Ledger, odd: Path) -> None:
    (odd / "mine").write_text("mine")
    with pytest.raises(PortError, match="is not empty"):
        export(TOY_TREE, VERSION, ledger, odd)
    assert texts(odd) == {"mine": b"mine"}


def test_export_of_a_ported_tree_is_refused(ledger: Ledger, tree: Tree, odd: Path) -> None:
    port(tree, odd / "ported", ledger, (), Journal())
    with pytest.raises(PortError, match="is ported already"):
        export(odd / "ported", VERSION, ledger, odd / "series")


def test_export_to_a_full_disk_is_a_host_error(ledger: Ledger, odd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_path: Path, _data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(HostError, match="the disk is full"):
        export(TOY_TREE, VERSION, ledger, odd / "series")


def test_patch_of_the_user_goes_on_top(ledger: Ledger, tree: Tree, odd: Path) -> None:
    patch = odd / "mein Flicken é.patch"
    patch.write_text(PATCH, encoding="utf-8")
    port(tree, odd / "ported", ledger, (patch,), Journal())
    assert (odd / "ported" / "init" / "main.c").read_bytes().startswith("/* Grüße */\n#include".encode())
    assert sorted(path.name for path in odd.iterdir()) == [patch.name, "ported"]


def test_patches_of_the_user_go_on_in_their_order(ledger: Ledger, tree: Tree, odd: Path) -> None:
    first, second = odd / "b.patch", odd / "a.patch"
    first.write_text(PATCH)
    second.write_text(
        PATCH.replace("+/* Grüße */\n #include", "+/* two */\n /* Grüße */\n #include")
        .replace("-1,2", "-1,3")
        .replace("+1,3", "+1,4")
    )
    port(tree, odd / "ported", ledger, (first, second), Journal())
    assert (odd / "ported" / "init" / "main.c").read_text().startswith("/* two */\n/* Grüße */\n")


def test_patch_that_does_not_fit_is_a_port_error_that_shows_why(ledger: Ledger, tree: Tree, odd: Path) -> None:
    patch = odd / "a.patch"
    patch.write_text(PATCH.replace("sched.h", "other.h"))
    with pytest.raises(PortError, match="does not fit the ported tree") as caught:
        port(tree, odd / "ported", ledger, (patch,), Journal())
    assert any("init/main.c" in line for line in caught.value.seen)
    assert caught.value.log is not None
    assert "patch does not apply" in caught.value.log.read_text()


def test_patch_that_fits_by_half_changes_nothing(odd: Path) -> None:
    shutil.copytree(TOY_TREE, odd / "tree")
    patch = odd / "a.patch"
    patch.write_text(PATCH + PATCH.replace("main.c", "nowhere.c"))
    with pytest.raises(PortError, match="does not fit"):
        apply_patch(odd / "tree", patch, Journal())
    assert (odd / "tree" / "init" / "main.c").read_bytes() == (TOY_TREE / "init" / "main.c").read_bytes()


@pytest.mark.parametrize("target", ["../outside.c", "/tmp/kvmd-lab-outside.c"])
def test_patch_that_leads_out_of_the_tree_is_refused(odd: Path, target: str) -> None:
    (odd / "tree").mkdir()
    patch = odd / "a.patch"
    patch.write_text(f"--- /dev/null\n+++ b/{target}\n@@ -0,0 +1 @@\n+x\n")
    with pytest.raises(PortError, match="does not fit"):
        apply_patch(odd / "tree", patch, Journal())
    assert not (odd / "outside.c").exists()


@pytest.mark.parametrize("text", [None, "", "no diff at all\n"])
def test_patch_that_is_missing_or_no_patch_is_a_port_error(odd: Path, text: str | None) -> None:
    (odd / "tree").mkdir()
    if text is not None:
        (odd / "a.patch").write_text(text)
    with pytest.raises(PortError, match="is not there" if text is None else "does not fit"):
        apply_patch(odd / "tree", odd / "a.patch", Journal())


@pytest.mark.parametrize("head", ["", "diff --git a/init/main.c b/init/main.c\n"])
def test_patch_in_a_tree_below_a_checkout_reaches_the_tree(odd: Path, head: str) -> None:
    subprocess.run(["git", "init", "-q", str(odd)], check=True)
    shutil.copytree(TOY_TREE, odd / "tree")
    (odd / "a.patch").write_text(head + PATCH)
    apply_patch(odd / "tree", odd / "a.patch", Journal())
    assert (odd / "tree" / "init" / "main.c").read_text().startswith("/* Grüße */\n")


def test_git_that_is_missing_is_a_host_error(odd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (odd / "a.patch").write_text(PATCH)
    monkeypatch.setenv("PATH", str(odd))
    with pytest.raises(HostError, match="git is not installed") as caught:
        apply_patch(odd, odd / "a.patch", Journal())
    assert caught.value.hint == "apt-get install git"


def test_stamp_tells_what_was_done(ledger: Ledger, tree: Tree, odd: Path) -> None:
    done = port(tree, odd / "ported", ledger, (), Journal())
    assert apply(odd / "ported", VERSION, ledger) == done
    assert {each.id: sum(each.places.values()) for each in done.applied} == {
        each.id: each.count for each in ledger.records if each.holds_for(VERSION)
    }
