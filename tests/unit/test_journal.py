from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from lab.errors import HostError
from lab.journal import Journal, read


def test_events_written_are_read_back_in_their_order(tmp_path: Path) -> None:
    path = tmp_path / "runs é" / "journal.jsonl"
    with Journal(path) as journal:
        journal.record("note", text="Grüße\n")
        journal.record("command", argv=[Path("/a b")], returncode=0)
    first, second = read(path)
    assert (first["kind"], first["text"]) == ("note", "Grüße\n")
    assert (second["kind"], second["argv"], second["returncode"]) == ("command", ["/a b"], 0)
    assert 0 <= first["t"] <= second["t"]


def test_journal_opened_again_goes_on(tmp_path: Path) -> None:
    for text in ("one", "two"):
        with Journal(tmp_path / "journal.jsonl") as journal:
            journal.record("note", text=text)
    assert [event["text"] for event in read(tmp_path / "journal.jsonl")] == ["one", "two"]


@pytest.mark.parametrize("end", [b'{"t": 1, "kind": "no', b"\xff\xfe", b"{"])
def test_line_cut_off_by_a_crash_is_left_out(tmp_path: Path, end: bytes) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        journal.record("note", text="one")
    path.write_bytes(path.read_bytes() + end)
    assert [event["text"] for event in read(path)] == ["one"]


def test_broken_line_costs_no_other(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        for text in ("one", "two"):
            journal.record("note", text=text)
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + b'{"t": 1, "ki\n[]\n' + second)
    assert [event["text"] for event in read(path)] == [
        "one",
        "line 2 of the journal is broken",
        "line 3 of the journal is broken",
        "two",
    ]


def test_journal_that_was_cut_off_goes_on_in_a_line_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b'{"t": 0, "kind": "note", "text": "one"}\n{"t": 1, "ki')
    with Journal(path) as journal:
        journal.record("note", text="two")
    assert [event["text"] for event in read(path)] == ["one", "two"]


def test_full_disk_is_an_error_of_the_host_and_the_listeners_hear_of_the_event(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.symlink_to("/dev/full")
    heard: list[dict[str, Any]] = []
    with Journal(path) as journal:
        journal.listen(heard.append)
        with pytest.raises(HostError, match="the disk is full"):
            journal.record("note", text="one")
    assert [event["text"] for event in heard] == ["one"]


def test_journal_without_a_file_tells_its_listeners() -> None:
    journal = Journal()
    heard: list[dict[str, Any]] = []
    journal.listen(heard.append)
    journal.record("note", text="one")
    assert [event["text"] for event in heard] == ["one"]


def test_event_after_the_end_reaches_the_listeners_only(tmp_path: Path) -> None:
    heard: list[dict[str, Any]] = []
    with Journal(tmp_path / "journal.jsonl") as journal:
        journal.listen(heard.append)
    journal.record("note", text="late")
    assert [event["text"] for event in heard] == ["late"]
    assert read(tmp_path / "journal.jsonl") == []


def test_stage_that_ends_has_its_begin_and_its_end() -> None:
    journal = Journal()
    heard: list[dict[str, Any]] = []
    journal.listen(heard.append)
    with journal.stage("port", "toy"):
        journal.record("note", text="within")
    assert [(event.get("phase"), event.get("detail")) for event in heard] == [
        ("begin", "toy"),
        (None, None),
        ("end", "toy"),
    ]
    assert heard[-1]["seconds"] >= 0


@pytest.mark.parametrize(
    ("error", "detail"),
    [(ValueError("first\nsecond"), "first"), (KeyboardInterrupt(), "KeyboardInterrupt"), (ValueError(), "ValueError")],
)
def test_stage_that_fails_tells_the_first_line_and_lets_the_error_pass(error: BaseException, detail: str) -> None:
    journal = Journal()
    heard: list[dict[str, Any]] = []
    journal.listen(heard.append)
    with pytest.raises(type(error)), journal.stage("port"):
        raise error
    assert [(event["phase"], event["detail"]) for event in heard] == [("begin", ""), ("fail", detail)]


def test_events_of_many_threads_are_whole_lines(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.jsonl") as journal:

        def write(name: int) -> None:
            for number in range(100):
                journal.record("note", text=f"{name} {number} " + "x" * 500)

        threads = [threading.Thread(target=write, args=(name,)) for name in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(read(tmp_path / "journal.jsonl")) == 400
