"""Views, turned into pages: each one file that needs nothing else, not even a script.

What the console and the tests said is somebody else's text: the templates escape it, and what a terminal would obey is
shown by a sign.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined

from lab.errors import UsageError
from lab.host_trouble import host_trouble
from lab.report import drawing
from lab.report.grid import MANY_NAMES, Grid, shown
from lab.report.journals import load
from lab.report.plain import TELLS
from lab.report.scenarios import Scenario
from lab.report.svg import Picture, lasting
from lab.report.timeline import Panel, Sample
from lab.report.view import Run, view

SIZES = (960, 340)  # widths of pictures of a whole run, for wide screens and for narrow ones,
PART_WIDE, PART_NARROW = 920, 300  # and those within a scenario's frame
ROWS = 200  # of a table of samples, at most
PARTS = 12  # scenarios that have a picture of their own, at most; those that went wrong come first

Pair = tuple[Picture, Picture]
_SIGNS = {code: 0x2400 + code for code in range(32) if chr(code) not in "\t\n"} | {0x7F: 0x2421}


class Section(msgspec.Struct, frozen=True):
    """A run as a part of a page, with its pictures; all ids of it begin with `prefix`."""

    run: Run
    prefix: str
    before: Pair | None
    pictures: list[tuple[Panel, Picture, Picture]]
    parts: dict[str, Pair | None]

    def id_of(self, scenario: Scenario) -> str:
        """Return the id of a scenario on the page."""
        return f"{self.prefix}scenario-{self.run.scenarios.index(scenario)}"

    @property
    def modules(self) -> list[tuple[str, list[Scenario]]]:
        """The scenarios, those of one file together."""
        found: dict[str, list[Scenario]] = {}
        for scenario in self.run.scenarios:
            found.setdefault(scenario.module, []).append(scenario)
        return list(found.items())

    def rows(self, panel: Panel) -> tuple[list[tuple[str, float | None, Sample]], int]:
        """Return (scenario, guest's clock since the segment began, sample) of every n-th sample, and n."""
        every = -(-sum(len(segment.samples) for segment in panel.segments) // ROWS)
        found: list[tuple[str, float | None, Sample]] = []
        for segment in panel.segments:
            name = "" if segment.scenario is None else self.run.scenarios[segment.scenario].name
            first = segment.samples[0].guest
            for one in segment.samples[::every]:
                guest = None if one.guest is None or first is None else one.guest - first
                found.append((name, guest, one))
        return found, every


def page(run: Run) -> str:
    """Return the page of one run."""
    return environment().get_template("run.html.j2").render(section=section(run))


def grid_page(found: Grid) -> str:
    """Return the page of many runs; it belongs where the cells' folders can be found from."""
    return environment().get_template("grid.html.j2").render(grid=found, shown=shown, most=MANY_NAMES)


def leave(folder: Path, path: Path | None = None) -> Path:
    """Write the page of the run in `folder`, there or to `path`, and return where it is."""
    written = path or folder / "report.html"
    write(written, page(view(load(folder), folder.resolve().name)))
    return written


def pair_page(says: str, notes: Sequence[str], tried: Sequence[str], runs: Sequence[tuple[str, Run]]) -> str:
    """Return the page of a bisection: what it found, with what reserve, what was tried, a named run on each side."""
    sides = [(name, section(run, f"side-{number}-")) for number, (name, run) in enumerate(runs)]
    return environment().get_template("pair.html.j2").render(says=says, notes=notes, tried=tried, sides=sides)


def write(path: Path, text: str) -> None:
    """Write a page, whole or not at all; UsageError: its folder is none, HostError: the host does not let us."""
    if not path.parent.is_dir():
        raise UsageError(f"{path.parent} is no folder", doing=f"writing {path}")
    fresh = path.with_name(f".{path.name}-{os.getpid()}")
    with host_trouble(f"writing {path}"):
        try:
            fresh.write_text(text, encoding="utf-8", errors="backslashreplace")
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)


def section(run: Run, prefix: str = "") -> Section:
    """Draw what a run's part of a page shows; `prefix` keeps two of them on one page apart."""
    pictures = []
    for number, panel in enumerate(run.panels):
        wide, narrow = (drawing.whole(run, panel, width, f"{prefix}time-{number}-{width}") for width in SIZES)
        pictures.append((panel, wide, narrow))
    made = Section(
        run, prefix, _pair(drawing.before(run, width, f"{prefix}before-{width}") for width in SIZES), pictures, {}
    )
    chosen = {made.id_of(scenario) for scenario in [*run.bad, *run.scenarios][:PARTS]}
    for scenario in run.scenarios:
        name = made.id_of(scenario)
        made.parts[name] = _part(run, scenario, name) if name in chosen else None
    return made


def _part(run: Run, scenario: Scenario, name: str) -> Pair | None:
    return _pair(drawing.part(run, scenario, width, f"{name}-{width}") for width in (PART_WIDE, PART_NARROW))


def _pair(pictures: Iterable[Picture | None]) -> Pair | None:
    wide, narrow = pictures
    return (wide, narrow) if wide and narrow else None


@cache
def environment() -> Environment:
    """Return the templates with what they are given: filters, signs, what each stage does."""
    made = Environment(
        loader=PackageLoader("lab.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(seconds=lasting, mib=_mib, moment=_moment, counted=_counted)
    made.globals.update(sign=_sign, tells=TELLS)
    return made


def _visible(value: Any) -> Any:
    """Show a control character by its sign: a page may not contain most of them, and none does any good there."""
    return value.translate(_SIGNS) if type(value) is str else value


def _mib(kib: float) -> str:
    return f"{kib / 1024:.1f}"


def _moment(text: str) -> str:
    """Write a moment of ISO 8601, which is in UTC, for people."""
    return f"{text[:10]} {text[11:16]} UTC"


def _counted(scenarios: Sequence[Scenario]) -> Iterable[tuple[str, int]]:
    return Counter(scenario.verdict for scenario in scenarios).items()


def _sign(verdict: str) -> str:
    return (drawing.SIGNS | drawing.MORE_SIGNS).get(verdict, "–")  # noqa: RUF001
