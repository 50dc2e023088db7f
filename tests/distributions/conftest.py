"""Which distributions, whose commands, and what of this host a root may see."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.distributions.bareroot import Bind
from tests.distributions.network import apt_source

USERS = ("root", "sudo", "password", "plain")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("distributions")
    add = group.addoption
    add("--distribution", action="append", metavar="SUITE", help="Debian's name of it (default: bookworm, trixie)")
    add("--user", action="append", choices=USERS, help="root; ordinary ones: sudo, password, plain (default: all)")
    add("--command", action="append", metavar="WORDS", help="what follows ./kvmd-lab (default: demo, then test)")
    add("--mirror", metavar="URL", help="Debian's packages (default: where this host has its own from)")
    add("--allow", action="append", default=[], metavar="HOST", help="one more package source: a pip index's host")
    add("--bind", action="append", default=[], metavar="PATH[:PLACE]", help="a file or folder that a root may read")
    add("--setenv", action="append", default=[], metavar="NAME=VALUE", help="in there: a setting of pip, for example")
    add("--apt", action="append", default=[], metavar="SETTING", help='such as: Acquire::Check-Valid-Until "false"')
    add("--bare-roots", type=Path, metavar="FOLDER", help="SUITE.tar is there, made by debootstrap before")
    add("--keep", type=Path, metavar="FOLDER", help="for transcripts, times, versions (default: runs/distributions)")
    add("--hours", type=float, default=3.0, help="the longest that one command may take")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "suite" in metafunc.fixturenames:
        metafunc.parametrize("suite", metafunc.config.getoption("--distribution") or ["bookworm", "trixie"])
    if "login" in metafunc.fixturenames:
        metafunc.parametrize("login", metafunc.config.getoption("--user") or USERS)


@pytest.fixture
def mirror(pytestconfig: pytest.Config) -> str:
    return pytestconfig.getoption("--mirror") or apt_source()


@pytest.fixture
def binds(pytestconfig: pytest.Config) -> list[Bind]:
    if os.geteuid() != 0:
        pytest.fail("debootstrap and namespaces need root")
    return [Bind.parse(text) for text in pytestconfig.getoption("--bind")]


@pytest.fixture
def transcripts(pytestconfig: pytest.Config, suite: str, login: str) -> Path:
    base = pytestconfig.getoption("--keep") or Path("runs/distributions")
    folder = Path(base) / f"{time.strftime('%Y%m%d-%H%M%S')}-{suite}-{login}"
    folder.mkdir(parents=True)
    return folder.absolute()
