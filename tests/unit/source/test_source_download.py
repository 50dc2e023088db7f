from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.errors import DownloadError, HostError, SourceError
from lab.journal import Journal
from lab.source import part as part_module
from lab.source.download import Download, Patience
from lab.source.packed import MAGIC
from lab.source.part import Part
from tests.unit.source import toys
from tests.unit.source.toys import Mirror, Request

FILE = "v2.3/linux-2.3.99-pre3.tar.xz"
DATA = MAGIC["xz"] + os.urandom(200_000)
HASH = hashlib.sha256(DATA).hexdigest()
QUICK = Patience(connect=5, silence=5, pause=0.01, rounds=3, total=30)


def accept_all(path: Path, sha256: str) -> None:
    """A tarball that is fine."""


def accept_only_data(path: Path, sha256: str) -> None:
    """What unpacking does with a damaged tarball."""
    if sha256 != HASH:
        raise SourceError(f"at linux/fs: {path.name} is damaged")


class Fetcher:
    def __init__(self, folder: Path, journal: Journal) -> None:
        self.folder = folder
        self.journal = journal
        self.target = folder / Path(FILE).name

    def fetch(self, *mirrors: str, files: tuple[str, ...] = (FILE,), **options: Any) -> tuple[Path, str]:
        options = {"check": accept_all, "patience": QUICK, **options}
        return Download(files, mirrors, self.folder, journal=self.journal, **options).fetch()

    def left(self) -> set[str]:
        return {path.name for path in self.folder.glob("*")}


@pytest.fixture
def fetcher(tmp_path: Path, journal: Journal) -> Fetcher:
    return Fetcher(tmp_path / "downloads", journal)


@pytest.fixture(autouse=True)
def _served(mirror: Mirror, other_mirror: Mirror) -> None:
    mirror.files = {f"/{FILE}": DATA}
    other_mirror.files = {f"/{FILE}": DATA}


def half_done(fetcher: Fetcher, mirror: Mirror) -> None:
    """Leave the first half of the file behind, as an earlier run that broke off."""
    mirror.manners = [toys.breaks_off]
    with pytest.raises(DownloadError):
        fetcher.fetch(mirror.url, patience=Patience(rounds=1, silence=2))
    assert fetcher.left() == {fetcher.target.name + ".part", fetcher.target.name + ".part.json"}
    mirror.asked.clear()


def test_file_on_the_mirror_arrives_whole(fetcher: Fetcher, mirror: Mirror) -> None:
    path, url = fetcher.fetch(mirror.url, sha256=HASH)
    assert (path, url) == (fetcher.target, f"{mirror.url}/{FILE}")
    assert path.read_bytes() == DATA
    assert fetcher.left() == {path.name}


def test_progress_ends_with_the_whole_size(fetcher: Fetcher, mirror: Mirror, journal: Journal) -> None:
    events: list[dict[str, Any]] = []
    journal.listen(events.append)
    fetcher.fetch(mirror.url)
    last = [event for event in events if event["kind"] == "progress"][-1]
    assert (last["name"], last["done"], last["total"]) == (fetcher.target.name, len(DATA), len(DATA))


def test_transfer_that_breaks_off_goes_on_where_it_was(fetcher: Fetcher, mirror: Mirror) -> None:
    mirror.manners = [toys.breaks_off]
    path, _ = fetcher.fetch(mirror.url)
    assert path.read_bytes() == DATA
    assert [wanted for _, wanted in mirror.asked] == ["", f"bytes={len(DATA) // 2}-"]


def test_later_run_goes_on_with_the_part_of_an_earlier_one(fetcher: Fetcher, mirror: Mirror) -> None:
    half_done(fetcher, mirror)
    path, _ = fetcher.fetch(mirror.url)
    assert path.read_bytes() == DATA
    assert mirror.asked == [(f"/{FILE}", f"bytes={len(DATA) // 2}-")]


def test_part_that_is_whole_already_is_not_fetched_again(fetcher: Fetcher, mirror: Mirror) -> None:
    class Stop(BaseException):
        """Ctrl-C while the whole file is being checked."""

    def interrupted(_path: Path, _sha256: str) -> None:
        raise Stop

    with pytest.raises(Stop):
        fetcher.fetch(mirror.url, check=interrupted)
    mirror.asked.clear()
    path, _ = fetcher.fetch(mirror.url)
    assert path.read_bytes() == DATA
    assert mirror.asked == []


def test_file_that_changed_on_the_mirror_is_fetched_anew(fetcher: Fetcher, mirror: Mirror) -> None:
    half_done(fetcher, mirror)
    newer = MAGIC["xz"] + os.urandom(len(DATA) - 6)
    mirror.files[f"/{FILE}"] = newer
    mirror.etag = '"two"'
    path, _ = fetcher.fetch(mirror.url)
    assert path.read_bytes() == newer


def test_second_mirror_goes_on_with_the_part_of_the_first(
    fetcher: Fetcher, mirror: Mirror, other_mirror: Mirror
) -> None:
    half_done(fetcher, mirror)
    other_mirror.etag = '"its own"'
    path, _ = fetcher.fetch(other_mirror.url)
    assert path.read_bytes() == DATA
    assert other_mirror.asked == [(f"/{FILE}", f"bytes={len(DATA) // 2}-")]


def test_second_mirror_with_a_file_of_another_length_starts_anew(
    fetcher: Fetcher, mirror: Mirror, other_mirror: Mirror
) -> None:
    half_done(fetcher, mirror)
    longer = DATA + b"x"
    other_mirror.files[f"/{FILE}"] = longer
    path, _ = fetcher.fetch(other_mirror.url)
    assert path.read_bytes() == longer


@pytest.mark.parametrize("manner", [toys.ignores_range, toys.sends_other_range])
def test_range_answered_wrongly_does_not_spoil_the_file(
    fetcher: Fetcher, mirror: Mirror, manner: Callable[[Request, bytes], None]
) -> None:
    half_done(fetcher, mirror)
    mirror.manners = [manner]
    path, _ = fetcher.fetch(mirror.url)
    assert path.read_bytes() == DATA


def test_pieces_that_do_not_fit_together_are_fetched_anew(fetcher: Fetcher, mirror: Mirror) -> None:
    half_done(fetcher, mirror)
    mirror.manners = [toys.sends_rubbish_range]
    path, _ = fetcher.fetch(mirror.url, check=accept_only_data)
    assert path.read_bytes() == DATA


def test_part_without_its_ticket_is_thrown_away(fetcher: Fetcher, mirror: Mirror) -> None:
    half_done(fetcher, mirror)
    fetcher.target.with_name(fetcher.target.name + ".part.json").write_text("{")
    path, _ = fetcher.fetch(mirror.url)
    assert path.read_bytes() == DATA
    assert mirror.asked == [(f"/{FILE}", "")]


LIES = [
    (toys.understates, "is damaged"),
    (toys.sends_page, "a web page instead of the tarball"),
    (toys.sends_page_as_tarball, "a web page instead of the tarball"),
    (toys.redirects("http://elsewhere.invalid/x"), "redirected to elsewhere.invalid, which is none of the mirrors"),
    (toys.redirects("ftp://127.0.0.1/x"), "redirected to ftp://127.0.0.1/x, which is not http"),
    (toys.redirects(f"/{FILE}"), "more than 5 redirects"),
]


@pytest.mark.parametrize(("manner", "answer"), LIES)
def test_lying_mirror_is_told_and_not_asked_again(
    fetcher: Fetcher, mirror: Mirror, manner: Callable[[Request, bytes], None], answer: str
) -> None:
    mirror.manners = [manner] * 6
    with pytest.raises(DownloadError) as error:
        fetcher.fetch(mirror.url, check=accept_only_data)
    (said,) = error.value.seen
    assert said.startswith(f"{mirror.url}/{FILE}: ")
    assert answer in said
    assert fetcher.left() == set()


@pytest.mark.parametrize("manner", [toys.understates, toys.sends_page, toys.redirects("http://elsewhere.invalid/x")])
def test_lying_mirror_is_followed_by_an_honest_one(
    fetcher: Fetcher, mirror: Mirror, other_mirror: Mirror, manner: Callable[[Request, bytes], None]
) -> None:
    mirror.manners = [manner] * 9
    path, url = fetcher.fetch(mirror.url, other_mirror.url, check=accept_only_data)
    assert path.read_bytes() == DATA
    assert url.startswith(other_mirror.url)


def test_redirect_to_another_listed_mirror_is_followed(fetcher: Fetcher, mirror: Mirror, other_mirror: Mirror) -> None:
    mirror.manners = [toys.redirects(f"{other_mirror.url}/{FILE}")]
    path, _ = fetcher.fetch(mirror.url, other_mirror.url)
    assert path.read_bytes() == DATA
    assert len(other_mirror.asked) == 1


def test_file_with_another_hash_than_pinned_is_refused_and_removed(fetcher: Fetcher, mirror: Mirror) -> None:
    with pytest.raises(DownloadError, match=f"its SHA-256 is {HASH}, not {'0' * 64}"):
        fetcher.fetch(mirror.url, sha256="0" * 64)
    assert fetcher.left() == set()


def test_missing_packing_is_followed_by_the_next(fetcher: Fetcher, mirror: Mirror) -> None:
    other = MAGIC["gz"] + b"data"
    mirror.files = {"/v2.3/k.tar.gz": other}
    path, _ = fetcher.fetch(mirror.url, files=("v2.3/k.tar.xz", "v2.3/k.tar.gz"))
    assert (path.name, path.read_bytes()) == ("k.tar.gz", other)


def test_failure_lists_what_each_mirror_said(fetcher: Fetcher, mirror: Mirror, other_mirror: Mirror) -> None:
    mirror.files = {}
    other_mirror.manners = [toys.is_busy] * 9
    with pytest.raises(DownloadError) as error:
        fetcher.fetch(mirror.url, other_mirror.url)
    assert error.value.seen == (
        f"{mirror.url}/{FILE}: 404 Not Found",
        f"{other_mirror.url}/{FILE}: 503 Service Unavailable",
    )
    assert "KVMD_LAB_MIRRORS" in error.value.hint
    assert (len(mirror.asked), len(other_mirror.asked)) == (1, QUICK.rounds)


def test_busy_mirror_is_asked_again(fetcher: Fetcher, mirror: Mirror) -> None:
    mirror.manners = [toys.is_busy]
    path, _ = fetcher.fetch(mirror.url)
    assert path.read_bytes() == DATA


def test_unreachable_mirror_is_asked_for_one_file_a_round(fetcher: Fetcher, tmp_path: Path, journal: Journal) -> None:
    events: list[dict[str, Any]] = []
    journal.listen(events.append)
    with Mirror() as gone:
        url = gone.url
    with pytest.raises(DownloadError) as error:
        fetcher.fetch(url, files=("a.xz", "b.gz"))
    (said,) = error.value.seen
    assert said.startswith(f"{url}: cannot be reached")
    assert len(events) == QUICK.rounds
    assert not (tmp_path / "downloads").exists()


@pytest.mark.parametrize("address", ["file:///etc", "kernel.org/pub", "http://[::1", "ftp://127.0.0.1"])
def test_mirror_that_is_no_web_address_is_told(fetcher: Fetcher, address: str) -> None:
    with pytest.raises(DownloadError, match=r"not an (http or https )?address"):
        fetcher.fetch(address)


def test_silent_mirror_is_left_for_the_next(fetcher: Fetcher, mirror: Mirror, other_mirror: Mirror) -> None:
    mirror.manners = [toys.falls_silent]
    path, url = fetcher.fetch(mirror.url, other_mirror.url, patience=Patience(silence=0.7))
    assert path.read_bytes() == DATA
    assert url.startswith(other_mirror.url)


def test_mirror_that_trickles_counts_as_stopped(fetcher: Fetcher, mirror: Mirror) -> None:
    mirror.manners = [toys.trickles]
    with pytest.raises(DownloadError, match=r"only \d+ bytes in 1 s"):
        fetcher.fetch(mirror.url, patience=Patience(silence=1.0, rounds=1))


def test_deadline_ends_a_transfer_that_would_take_longer(fetcher: Fetcher, mirror: Mirror) -> None:
    mirror.manners = [toys.trickles] * 9
    begin = time.monotonic()
    with pytest.raises(DownloadError, match="not done within 0 s"):
        fetcher.fetch(mirror.url, patience=Patience(total=0.2, silence=5, rounds=9))
    assert time.monotonic() - begin < 2


def test_full_disk_is_told_and_the_space_given_back(
    fetcher: Fetcher, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    half_done(fetcher, mirror)

    def full(_part: Part) -> int:
        raise OSError(28, "No space left on device", str(fetcher.target))

    monkeypatch.setattr(part_module.Part, "size", property(full))
    with pytest.raises(HostError, match="the disk is full"):
        fetcher.fetch(mirror.url)
    assert fetcher.left() == set()


def test_no_thread_is_left_after_a_download(fetcher: Fetcher, mirror: Mirror) -> None:
    before = {thread for thread in threading.enumerate() if "process_request" not in thread.name}
    fetcher.fetch(mirror.url)
    after = {thread for thread in threading.enumerate() if "process_request" not in thread.name}
    assert after == before
