"""What the sub-commands do alike: make a workbench, show the journal in the terminal, print."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import msgspec

from lab.cli.options import HostChoice
from lab.errors import UsageError
from lab.journal import Journal
from lab.scenario.subject import Subject
from lab.settings import Settings

if TYPE_CHECKING:
    from lab.scenario.workbench import Workbench

HERE = HostChoice()


@contextmanager
def bench(of: Subject, where: HostChoice = HERE, *, quiet: bool = False) -> Iterator[Workbench]:
    """Open a workbench, maybe on another host; its stages are told on standard error, unless `quiet`."""
    from lab.report.plain import tell
    from lab.scenario.workbench import Workbench

    with Journal() as journal:
        if not quiet:
            journal.listen(tell(sys.stderr))
        settings = Settings.from_environment().at(where.host, accept_new_key=where.accept_new_host_key)
        with Workbench(of, settings, journal) as opened:
            yield opened


@contextmanager
def result_file(path: Path | None) -> Iterator[IO[bytes] | None]:
    """Open a file for what will take long to find, and leave what is in it; UsageError: it cannot be written.

    If nothing comes of it, a file that was not there is not there.
    """
    if path is None:
        yield None
        return
    new = not path.exists()
    try:
        file = path.open("ab")
    except OSError as error:
        raise UsageError(f"{path} cannot be written ({error.strerror})") from error
    with file:
        try:
            yield file
        except BaseException:
            if new:
                path.unlink(missing_ok=True)
            raise


def say(value: Any, *, as_json: bool, text: str = "") -> None:
    """Print `value` as JSON, or `text` for people."""
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(value, enc_hook=str)).decode())  # noqa: T201
    elif text:
        print(text)  # noqa: T201


def host_options(where: HostChoice) -> list[str]:
    """Return pytest's options for another host; UsageError: it has no such address."""
    from lab.remote.address import parse

    if where.host:
        parse(where.host)
    return [
        *([f"--host={where.host}"] if where.host else []),
        *(["--accept-new-host-key"] if where.accept_new_host_key else []),
    ]
