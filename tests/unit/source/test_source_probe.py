"""Whether a release server can be had, said in the time that is given."""

from __future__ import annotations

import socket
import threading
import time

import msgspec
import pytest

from lab.settings import Settings
from lab.source import download, release_server_answers
from tests.unit.source.toys import Mirror


def test_server_that_answers_is_seen(settings: Settings, mirror: Mirror) -> None:
    mirror.files["/"] = b""
    assert release_server_answers(settings, 5)


def test_server_without_the_folder_does_not_count(settings: Settings) -> None:
    assert not release_server_answers(settings, 5)


def test_server_that_is_silent_is_given_up_in_time(settings: Settings, mirror: Mirror) -> None:
    mirror.files["/"] = b""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        deaf = msgspec.structs.replace(settings, mirrors=(f"http://127.0.0.1:{silent.getsockname()[1]}",))
        begin = time.monotonic()
        assert not release_server_answers(deaf, 0.2)
        assert time.monotonic() - begin < 2
        assert release_server_answers(msgspec.structs.replace(deaf, mirrors=(*deaf.mirrors, mirror.url)), 5)


def test_silent_name_server_is_given_up_in_time(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    end = threading.Event()
    monkeypatch.setattr(download, "answers", lambda _mirror, _seconds: end.wait(20))
    begin = time.monotonic()
    assert not release_server_answers(settings, 0.05)
    assert time.monotonic() - begin < 5
    end.set()
