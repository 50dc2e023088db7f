"""The entry point: sub-commands, errors and exit codes."""

from __future__ import annotations

import os
import signal
import sys
import threading
from importlib import metadata
from types import FrameType
from typing import Annotated

import typer
from typer.exceptions import TyperException

from lab.cli import housekeeping, machines, matrix, mutants, stages
from lab.cli.moved import new_spelling
from lab.errors import LabError, UsageError

INTERRUPTED = 130
TERMINATED = 143
_terminated = threading.Event()

app = typer.Typer(
    name="kvmd-lab",
    help="A lab for historical kernels: port a tree of 2000 to today's gcc, boot it in QEMU, judge it from Python.",
    epilog="Exit codes: 0 passed, 1 a scenario failed, 2 usage, 3 source, 4 port, 5 config, 6 compile, 7 audit, "
    "8 host or QEMU, 9 boot, 10 guest fault, 130 interrupted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _tell_version(wanted: bool) -> None:
    if wanted:
        print(f"kvmd-lab {metadata.version('kvmd-lab')}")  # noqa: T201
        raise typer.Exit


@app.callback()
def _options(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Tell the lab's version and end.")
    ] = False,
) -> None:
    """Take what goes before a sub-command."""


stages.register(app)
machines.register(app)
mutants.register(app)
matrix.register(app)
housekeeping.register(app)


def main() -> None:
    """Run the command line and leave with the exit code of the error's kind."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        status = app(standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(_ended_early())
    except TyperException as error:
        what = error.format_message()
        if what:  # where no sub-command was named there is none: the help has been shown
            _say(f"kvmd-lab: {what}\n  try: {new_spelling(error) or _help_for(error)}", UsageError.exit_code)
        sys.exit(UsageError.exit_code)
    except LabError as error:
        sys.exit(_say(f"kvmd-lab: {error}", error.exit_code))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    if status == INTERRUPTED:  # typer makes this of a KeyboardInterrupt
        status = _ended_early()
    sys.exit(status if isinstance(status, int) else 0)


def _terminate(_number: int, _frame: FrameType | None) -> None:
    """Let every `with` put its things away before SIGTERM ends us.

    As Ctrl-C would: pytest takes any other exception, SystemExit too, for the failure of a test and goes on.
    """
    _terminated.set()
    raise KeyboardInterrupt


def _help_for(error: TyperException) -> str:
    """Return the command that shows what could have been said: the sub-command's own, if there is one."""
    context = getattr(error, "ctx", None)
    if context is None or context.parent is None:
        return "kvmd-lab --help"
    return f"kvmd-lab {context.info_name} --help"


def _ended_early() -> int:
    return _say("terminated", TERMINATED) if _terminated.is_set() else _say("interrupted", INTERRUPTED)


def _say(text: str, status: int) -> int:
    print(text, file=sys.stderr)  # noqa: T201
    return status
