from __future__ import annotations

import re
from pathlib import Path

import pytest

from lab import resources
from lab.errors import PortError
from lab.port import Ledger, Record, load, own_ledger
from lab.port.ctokens import solid, tokens
from lab.port.ledger import read_installed
from lab.port.transforms import NAMED
from lab.version import KernelVersion
from tests.unit.port.toyport import TOY_LEDGER, record, write_ledger

OWN = own_ledger()
README = (resources.folder("kernel-patches") / "README.md").read_text(encoding="utf-8")
KINDS = set(re.findall(r"^\| `([a-z-]+)` \|", README, re.MULTILINE))


@pytest.mark.parametrize(
    ("text", "trouble"),
    [
        ("", "there is no record in"),
        ("[[record]]\nid = 'x'\n", "missing required field"),
        ("no toml at all", "10-topic.toml: "),
        (record(match="x", replace="y", colour="red"), "unknown field"),
        (record(), "has 0 acts instead of one"),
        (record(match="x", replace="y", transform="join-strings"), "has 2 acts instead of one"),
        (record(transform="join-strings", install="kvmd/kvmd.c"), "has 2 acts instead of one"),
        (record(match="  ", replace="y"), "has nothing to match"),
        (record(match="x", replace="y", kernels="lately"), "is not a version range"),
        (record(match="x", replace="y") * 2, "two records are called one"),
        (record(match="x", replace="y", look_in="comments"), "Invalid enum value"),
        (record(install="kvmd/no-such.c"), "installs kvmd/no-such.c, which cannot be read"),
    ],
)
def test_ledger_with_a_mistake_is_a_port_error(tmp_path: Path, text: str, trouble: str) -> None:
    with pytest.raises(PortError, match=re.escape(trouble)):
        write_ledger(tmp_path / "ledger", text or "record = []\n")


def test_topic_that_is_no_text_is_a_port_error(tmp_path: Path) -> None:
    (tmp_path / "10-topic.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(PortError, match=r"10-topic\.toml"):
        load(tmp_path)


def test_folder_that_is_not_there_is_a_port_error(tmp_path: Path) -> None:
    with pytest.raises(PortError, match="there is no record in"):
        load(tmp_path / "nowhere")


def test_topics_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("20-b", "10-a", "30-c"):
        (tmp_path / f"{name}.toml").write_text(record(name, match="x", replace="y"))
    assert [each.id for each in load(tmp_path).records] == ["10-a", "20-b", "30-c"]


@pytest.mark.parametrize(
    ("version", "ids"), [("2.3.99-pre3", ["one"]), ("2.4.0-test1", ["one", "two"]), ("2.4.0-test9", []), ("6.1", [])]
)
def test_range_of_a_topic_holds_for_a_record_that_has_its_own(version: str, ids: list[str], tmp_path: Path) -> None:
    two = record("two", match="x", replace="y", kernels=">=2.4.0-test1")
    ledger = write_ledger(tmp_path, f'kernels = "<2.4.0-test9"\n{record(match="x", replace="y")}{two}')
    assert [each.id for each in ledger.meant_for(KernelVersion(version)).records] == ids


def test_digest_follows_records_and_installed_files_but_no_readme(tmp_path: Path) -> None:
    folder = tmp_path / "ledger"
    (tmp_path / "kvmd").mkdir()
    (tmp_path / "kvmd" / "a.c").write_text("one")
    (tmp_path / "kvmd" / "notes").write_text("one")
    first = write_ledger(folder, record(install="kvmd/a.c")).digest
    (folder / "README.md").write_text("words")
    (tmp_path / "kvmd" / "notes").write_text("two")
    assert load(folder).digest == first
    assert write_ledger(folder, record(install="kvmd/a.c", why="another")).digest != first
    write_ledger(folder, record(install="kvmd/a.c"))
    (tmp_path / "kvmd" / "a.c").write_text("two")
    assert load(folder).digest != first


@pytest.fixture(params=OWN.records, ids=lambda each: str(each.id))
def own(request: pytest.FixtureRequest) -> Record:
    return request.param  # type: ignore[no-any-return]


def test_readme_lists_the_kinds() -> None:
    assert len(KINDS) > 10


def test_own_record_is_well_formed(own: Record) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", own.id)
    assert own.kind in KINDS
    assert len(own.why.split()) > 1
    assert own.count > 0
    assert own.transform == "" or own.transform in NAMED
    assert own.install == "" or read_installed(OWN, own)
    assert (own.match == "") == (own.replace is None)


def test_own_record_names_files_below_the_tree(own: Record) -> None:
    for pattern in (*own.files, *own.options.get("headers", "").split()):
        assert not pattern.startswith("/")
        assert ".." not in pattern
        assert not re.search(r"\*\*|[\s\\]", pattern)
    assert own.files
    assert not own.install or not re.search(r"[*?\[]", " ".join(own.files))


def test_own_record_carries_no_block_of_kernel_text(own: Record) -> None:
    assert "\n" not in own.match
    assert len(solid(tokens(own.match))) < 20


def test_nothing_changes_what_the_own_ledger_installs_of_kvmd() -> None:
    assert changed_behind_install(OWN) == []


def test_nothing_changes_what_the_toy_ledger_installs_of_kvmd() -> None:
    assert changed_behind_install(load(TOY_LEDGER)) == []


def changed_behind_install(ledger: Ledger) -> list[str]:
    """Records that would change an installed file of kvmd: then it could not be copied into a built tree."""
    there: set[str] = set()
    found = []
    for each in ledger.records:
        if each.install.startswith("kvmd/"):
            there.update(each.files)
        else:
            found += [each.id for path in there for pattern in each.files if Path(path).match(pattern)]
    return found
