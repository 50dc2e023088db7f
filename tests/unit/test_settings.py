from __future__ import annotations

from pathlib import Path

import pytest

from lab.errors import UsageError
from lab.settings import DEFAULT_MIRRORS, Settings


def test_empty_environment_gives_the_defaults(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    settings = Settings.from_environment({})
    assert settings.cache == tmp_path / "xdg" / "kvmd-lab"
    assert settings.runs == tmp_path / "runs"
    assert settings.trees is None
    assert (settings.mirrors, settings.cc, settings.qemu) == (DEFAULT_MIRRORS, "gcc", "qemu-system-i386")
    assert settings.jobs > 1


def test_variables_that_are_set_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    settings = Settings.from_environment(
        {
            "KVMD_LAB_CACHE": "~/ca che é",
            "KVMD_LAB_RUNS": "mine",
            "KVMD_LAB_TREES": "trees",
            "KVMD_LAB_MIRRORS": "http://one/a/, http://two//  http://three",
            "KVMD_LAB_CC": "gcc-11",
            "KVMD_LAB_QEMU": "/opt/qemu",
            "KVMD_LAB_JOBS": "7",
            "KVMD_LAB_PATIENCE": "9",
            "KVMD_LAB_HOST": "ssh://box",
        }
    )
    assert settings == Settings(
        cache=tmp_path / "home" / "ca che é",
        runs=tmp_path / "mine",
        trees=tmp_path / "trees",
        mirrors=("http://one/a", "http://two", "http://three"),
        cc="gcc-11",
        qemu="/opt/qemu",
        jobs=7,
        patience=9.0,
        host="ssh://box",
    )


def test_variables_set_to_nothing_count_as_unset() -> None:
    names = ("CACHE", "RUNS", "TREES", "MIRRORS", "CC", "QEMU", "JOBS", "PATIENCE")
    assert Settings.from_environment({f"KVMD_LAB_{name}": "" for name in names}) == Settings.from_environment({})


@pytest.mark.parametrize("jobs", ["0", "-1", "two", "1.5", " 2"])
def test_jobs_that_are_no_positive_number_are_a_usage_error(jobs: str) -> None:
    with pytest.raises(UsageError, match="KVMD_LAB_JOBS"):
        Settings.from_environment({"KVMD_LAB_JOBS": jobs})


@pytest.mark.parametrize("patience", ["0", "-1", "long", "1.5"])
def test_patience_that_is_no_positive_number_is_a_usage_error(patience: str) -> None:
    with pytest.raises(UsageError, match="KVMD_LAB_PATIENCE"):
        Settings.from_environment({"KVMD_LAB_PATIENCE": patience})


def test_host_of_the_command_line_goes_before_that_of_the_environment(tmp_path: Path) -> None:
    settings = Settings(cache=tmp_path, runs=tmp_path, host="ssh://one")
    assert settings.at("ssh://two", accept_new_key=True).host == "ssh://two"
    assert settings.at("ssh://two", accept_new_key=True).accept_new_host_key
    assert settings.at(None) == settings


def test_make_gets_the_processors_that_may_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.settings.CORES", {3, 5, 7})
    assert Settings.from_environment({}).jobs == 4


def test_variable_of_an_older_lab_is_told_what_to_say_today() -> None:
    with pytest.raises(UsageError, match="KVMD_LAB_TREE is read no more") as caught:
        Settings.from_environment({"KVMD_LAB_TREE": "/a/tree"})
    assert "--tree PATH" in caught.value.hint
