"""Calls of the command line, with a cache, runs and mirrors that are the test's."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

from lab.cli import main
from tests.unit.build.toykernel import TOY_LEDGER

Done = subprocess.CompletedProcess[str]


class Call:
    """The ledger is the toy's; `mirrors` is a loopback server's address."""

    def __init__(self, folder: Path, mirrors: str) -> None:
        self.cache = folder / "cache"
        self.runs = folder / "runs"
        self.mirrors = mirrors
        self.cc: Path | None = None
        self.trees: Path | None = None

    def environment(self, *, own_ledger: bool = False, path: Path | None = None) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("KVMD_LAB_")}
        settings = {
            "KVMD_LAB_CACHE": str(self.cache),
            "KVMD_LAB_RUNS": str(self.runs),
            "KVMD_LAB_MIRRORS": self.mirrors,
            "PYTEST_ADDOPTS": "",
        }
        if self.cc is not None:
            settings["KVMD_LAB_CC"] = str(self.cc)
        if self.trees is not None:
            settings["KVMD_LAB_TREES"] = str(self.trees)
        if not own_ledger:
            settings["KVMD_LAB_LEDGER"] = str(TOY_LEDGER / "kernel-patches")
        return kept | settings | ({} if path is None else {"PATH": str(path)})

    def __call__(self, *arguments: str | Path, own_ledger: bool = False, path: Path | None = None) -> Done:
        """Call it in this process, which saves a third of a second."""
        words = ["kvmd-lab", *map(str, arguments)]
        out, err = io.StringIO(), io.StringIO()
        with (
            mock.patch.dict(os.environ, self.environment(own_ledger=own_ledger, path=path), clear=True),
            mock.patch.object(sys, "argv", words),
            mock.patch("signal.signal"),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            try:
                main()
            except SystemExit as left:
                return Done(words, int(left.code or 0), out.getvalue(), err.getvalue())
        raise AssertionError("main returned")

    @contextlib.contextmanager
    def start(self, *arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
        """Start it in a process of its own, which ends with the `with` at the latest."""
        with subprocess.Popen(
            [sys.executable, "-m", "lab", *map(str, arguments)],
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as child:
            try:
                yield child
            finally:
                child.kill()

    def process(self, *arguments: str | Path) -> Done:
        """Call it in a process of its own: what runs pytest can't share one with the test."""
        with self.start(*arguments) as child:
            out, err = child.communicate(timeout=120)
            return Done(child.args, child.returncode, out, err)
