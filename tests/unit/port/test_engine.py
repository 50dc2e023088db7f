from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from lab.errors import PortError
from lab.port import apply
from lab.port.engine import STAMP
from lab.port.workspace import Workspace
from lab.version import KernelVersion
from tests.unit.port.toyport import VERSION, record, texts, write_ledger


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "Bäume und Wälder" / "tree"
    (root / "sub").mkdir(parents=True)
    (root / "a.c").write_bytes(b'int f(void) { return g( 1, "one" ); } /* \xe9 g(1, "one") */\n')
    (root / "sub" / "b.c").write_text('int h(void) { return g(1, "two one"); }\n')
    return root


def ported(tree: Path, ledger: Path, *records: str) -> dict[str, bytes]:
    apply(tree, VERSION, write_ledger(ledger, "".join(records)))
    return {path: text for path, text in texts(tree).items() if path != STAMP}


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"match": 'g(1, "one")', "replace": "0"}, b'return 0; } /* \xe9 g(1, "one") */'),
        ({"match": 'g(1,"one")', "replace": "(@ + 1)"}, b'return (g( 1, "one" ) + 1); }'),
        ({"match": 'g (\n1, "one" )', "replace": "0"}, b"return 0; }"),
        ({"match": "one", "replace": "two", "look_in": "strings"}, b'g( 1, "two" ); } /* \xe9 g(1, "one")'),
        ({"match": 'g(1, "one")', "replace": "x", "look_in": "text"}, b'g( 1, "one" ); } /* \xe9 x */'),
        ({"match": "1", "replace": "2", "within": "f"}, b'g( 2, "one" ); } /* \xe9 g(1, "one") */'),
    ],
)
def test_record_that_replaces_changes_the_place_that_it_names(
    tree: Path, tmp_path: Path, fields: dict[str, Any], wanted: bytes
) -> None:
    assert wanted in ported(tree, tmp_path / "ledger", record(**fields))["a.c"]


def test_replacement_outside_ascii_is_written_as_utf8(tree: Path, tmp_path: Path) -> None:
    after = ported(tree, tmp_path / "ledger", record(match="return", replace="/* µ é */ @"))
    assert after["a.c"].startswith("int f(void) { /* µ é */ return".encode())
    assert b"/* \xe9 g" in after["a.c"]


def test_several_places_of_one_file_are_all_changed(tree: Path, tmp_path: Path) -> None:
    (tree / "a.c").write_text("one; two; one;\none;\n")
    after = ported(tree, tmp_path / "ledger", record(match="one", replace="@ + @ + 1", count=3))
    assert after["a.c"] == b"one + one + 1; two; one + one + 1;\none + one + 1;\n"


def test_places_in_all_files_of_the_patterns_count_together(tree: Path, tmp_path: Path) -> None:
    after = ported(tree, tmp_path / "ledger", record(files=["*.c", "sub/*.c"], match="return g", replace="g", count=2))
    assert [b"{ g(" in text for text in after.values()] == [True, True]


@pytest.mark.parametrize(("count", "match"), [(3, "return"), (1, "return"), (2, "nowhere")])
def test_record_that_matches_too_often_or_too_seldom_stops_the_port(
    tree: Path, tmp_path: Path, count: int, match: str
) -> None:
    before = texts(tree)
    first = record("first", match="int f", replace="long f")
    second = record("second", files=["a.c", "sub/b.c"], match=match, replace="x", count=count)
    with pytest.raises(PortError) as caught:
        ported(tree, tmp_path / "ledger", first, second)
    found = 2 if match == "return" else 0
    assert caught.value.what.startswith(f"record second should change {count} places and found {found}")
    assert ("a.c: 1, sub/b.c: 1" if found else "no place in a.c sub/b.c") in caught.value.what
    assert caught.value.doing == "porting 2.3.99-pre3"
    assert texts(tree) == before


def test_stray_edit_where_a_record_should_match_stops_the_port(tree: Path, tmp_path: Path) -> None:
    (tree / "a.c").write_text("int f(void) { return gg(1); }\n")
    with pytest.raises(PortError, match="record one should change 1 places and found 0"):
        ported(tree, tmp_path / "ledger", record(match="g(1", replace="x"))


def test_ported_tree_ported_again_stays_and_tells_the_same(tree: Path, tmp_path: Path) -> None:
    ledger = write_ledger(tmp_path / "ledger", record(match="return", replace="@ @"))
    first = apply(tree, VERSION, ledger)
    before = texts(tree)
    assert apply(tree, VERSION, ledger) == first
    assert texts(tree) == before


def test_ported_tree_that_moved_is_known_where_it_is_now(tree: Path, tmp_path: Path) -> None:
    ledger = write_ledger(tmp_path / "ledger", record(match="return", replace="@ @"))
    apply(tree, VERSION, ledger)
    moved = tree.rename(tmp_path / "moved")
    assert apply(moved, VERSION, ledger).path == moved


def test_tree_ported_with_another_ledger_is_refused(tree: Path, tmp_path: Path) -> None:
    apply(tree, VERSION, write_ledger(tmp_path / "one", record(match="return", replace="@ @")))
    with pytest.raises(PortError, match=r"was ported before, as 2\.3\.99-pre3 and with another ledger"):
        apply(tree, VERSION, write_ledger(tmp_path / "two", record(match="return", replace="@ 1 +")))


def test_tree_ported_as_another_version_is_refused(tree: Path, tmp_path: Path) -> None:
    ledger = write_ledger(tmp_path / "one", record(match="return", replace="@ @"))
    apply(tree, VERSION, ledger)
    with pytest.raises(PortError, match=r"ported before, as 2\.3\.99-pre3"):
        apply(tree, KernelVersion("2.3.99-pre4"), ledger)


@pytest.mark.parametrize("stamp", [b"", b"{", b"\xff", b'{"path": 1}'])
def test_damaged_stamp_is_a_port_error(tree: Path, tmp_path: Path, stamp: bytes) -> None:
    (tree / STAMP).write_bytes(stamp)
    with pytest.raises(PortError, match="is damaged"):
        ported(tree, tmp_path / "ledger", record(match="return", replace="x"))


def test_record_for_another_version_is_left_out(tree: Path, tmp_path: Path) -> None:
    ledger = write_ledger(tmp_path / "ledger", record(kernels=">2.3.99-pre3", match="nowhere", replace="x"))
    assert apply(tree, VERSION, ledger).applied == ()


def test_installed_file_arrives_byte_by_byte(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "kvmd").mkdir()
    (tmp_path / "kvmd" / "new.c").write_bytes("/* Ünïcode µ */\r\n\xff".encode() + b"\xff")
    after = ported(tree, tmp_path / "ledger", record(files=["deep/er/new.c"], install="kvmd/new.c"))
    assert after["deep/er/new.c"] == (tmp_path / "kvmd" / "new.c").read_bytes()


def test_record_that_would_overwrite_a_file_is_refused(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "kvmd").mkdir()
    (tmp_path / "kvmd" / "new.c").write_text("new\n")
    before = texts(tree)
    with pytest.raises(PortError, match=r"would overwrite a\.c"):
        ported(tree, tmp_path / "ledger", record(install="kvmd/new.c"))
    assert texts(tree) == before


def test_record_works_on_a_file_that_a_record_before_it_installed(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "kvmd").mkdir()
    (tmp_path / "kvmd" / "new.c").write_text("old;\n")
    install = record("install", files=["sub/new.c"], install="kvmd/new.c")
    change = record("change", files=["sub/new.c"], match="old", replace="new")
    assert ported(tree, tmp_path / "ledger", install, change)["sub/new.c"] == b"new;\n"


def test_unknown_transform_is_a_port_error(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(PortError, match="names the transform 'no-such', which does not exist"):
        ported(tree, tmp_path / "ledger", record(transform="no-such"))


def test_link_in_the_tree_is_not_changed_through(tree: Path, tmp_path: Path) -> None:
    (tree / "link.c").symlink_to("a.c")
    after = ported(tree, tmp_path / "ledger", record(files=["*.c"], match="return", replace="x"))
    assert (tree / "link.c").is_symlink()
    assert after["a.c"].count(b"x g(") == 1


def test_mode_of_a_changed_file_stays(tree: Path, tmp_path: Path) -> None:
    (tree / "a.c").chmod(0o755)
    ported(tree, tmp_path / "ledger", record(match="return", replace="x"))
    assert (tree / "a.c").stat().st_mode & 0o777 == 0o755


def test_full_disk_while_writing_leaves_every_file_as_it_was(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = texts(tree)
    write = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        if path.name.startswith("b.c"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, data)

    ledger = write_ledger(tmp_path / "ledger", record(files=["a.c", "sub/b.c"], match="return", replace="x", count=2))
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        apply(tree, VERSION, ledger)
    assert texts(tree) == before


def test_port_that_only_tries_writes_nothing(tree: Path, tmp_path: Path) -> None:
    before = texts(tree)
    ledger = write_ledger(tmp_path / "ledger", record(match="return", replace="x"))
    assert [done.places for done in apply(tree, VERSION, ledger, write=False).applied] == [{"a.c": 1}]
    assert texts(tree) == before


def test_workspace_gives_every_byte_back(tree: Path) -> None:
    (tree / "all.c").write_bytes(bytes(range(256)))
    workspace = Workspace(tree)
    workspace.write("copy.c", workspace.read("all.c"))
    workspace.flush(tree)
    assert (tree / "copy.c").read_bytes() == bytes(range(256))


def test_hint_where_a_record_does_not_fit(tree: Path, tmp_path: Path) -> None:
    ledger = write_ledger(tmp_path / "ledger", record(match="nowhere", replace="0"))
    with pytest.raises(PortError) as edited:
        apply(tree, KernelVersion("2.3.99-pre3"), ledger)
    assert edited.value.hint.startswith("the tree was edited")
    with pytest.raises(PortError) as unknown:
        apply(tree, KernelVersion("2.4.20"), ledger)
    assert unknown.value.hint.startswith("no records were written for 2.4.20; the nearest")
    (tree / "a.c").write_bytes(b"int f(void)\r\n{\r\n}\r\n")
    with pytest.raises(PortError) as dos:
        apply(tree, KernelVersion("2.3.99-pre3"), ledger)
    assert dos.value.hint.startswith("its lines end with CR LF")
