"""Builds of the toy tree, with a ledger of the test's own where it changes one."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from lab import source
from lab.build import Kernel, Plan, build
from lab.build.kernel import Manifest
from lab.journal import Journal
from lab.settings import Settings

DATA = Path(__file__).parents[2] / "data"
TOY_TREE = DATA / "toytree"
TOY_LEDGER = DATA / "toyledger"


class Bench:
    """A cache and a ledger; `events` is what the journal told."""

    def __init__(self, cache: Path, ledger: Path = TOY_LEDGER) -> None:
        self.settings = Settings(cache=cache, runs=cache / "runs", jobs=2)
        self.ledger = ledger
        self.events: list[dict[str, Any]] = []
        self.journal = Journal()
        self.journal.listen(self.events.append)

    def plan(self, **fields: Any) -> Plan:
        tree = source.obtain("2.3.99-pre3", tree=TOY_TREE, settings=self.settings, journal=Journal())
        return Plan(tree=tree, ledger=self.ledger / "kernel-patches", **fields)

    def build(self, **fields: Any) -> Kernel:
        return build(self.plan(**fields), self.settings, self.journal)

    def manifest(self, kernel: Kernel) -> Manifest:
        return kernel.read_manifest()

    def stages(self) -> list[str]:
        """The stages that ended well."""
        return [event["name"] for event in self.events if event["kind"] == "stage" and event["phase"] == "end"]

    def entries(self, kind: str) -> list[str]:
        """What is in a part of the cache, locks and logs aside."""
        folder = self.settings.cache / kind
        if not folder.is_dir():
            return []
        return sorted(path.name for path in folder.iterdir() if path.is_dir())

    def own_ledger(self, folder: Path) -> Bench:
        """The same cache, with a copy of the ledger that the test may change."""
        shutil.copytree(self.ledger, folder)
        return Bench(self.settings.cache, folder)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {path}"
    path.write_text(text.replace(old, new), encoding="utf-8")


def fragment(folder: Path, *lines: str) -> Path:
    path = folder / "mine.config"
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def fake_tools(folder: Path, *, without: tuple[str, ...] = (), scripts: dict[str, str] | None = None) -> Path:
    """A folder for PATH: the host's tools but for some, and scripts in the place of others."""
    folder.mkdir()
    for name in ("gcc", "make", "ld", "as", "objdump", "sh", "cat", "false"):
        found = shutil.which(name)
        if name not in without and found is not None:
            (folder / name).symlink_to(found)
    for name, script in (scripts or {}).items():
        (folder / name).unlink(missing_ok=True)
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    return folder
