"""The demo's view, a function of the journal: what is built, what boots, how memory moves, what was asserted."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from lab.journal import Journal
from lab.report.plain import TELLS, tell

_BAR = 40


class View:
    """The state of a run as far as a person wants to see it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.stages: dict[str, dict[str, Any]] = {}
        self.progress: dict[str, Any] | None = None
        self.sample: dict[str, Any] | None = None
        self.outcomes: list[dict[str, Any]] = []
        self.notes: list[str] = []

    def take(self, event: dict[str, Any]) -> None:
        """Take in one event."""
        with self._lock:
            match event["kind"]:
                case "stage":
                    self.stages[event["name"]] = event
                case "progress":
                    self.progress = event
                case "sample":
                    self.sample = event
                case "note":
                    self.notes.append(event["text"])
                case "outcome" if event["phase"] == "call" or event["outcome"] == "failed":
                    self.outcomes.append(event)

    def __rich__(self) -> RenderableType:
        with self._lock:
            return Group(self._stage_table(), *self._work(), *self._memory(), *self._outcome_lines())

    def _stage_table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for name, event in self.stages.items():
            mark = {"begin": "[yellow]...", "end": "[green]done", "fail": "[red]FAILED"}[event["phase"]]
            seconds = f"{event['seconds']:.2f} s" if "seconds" in event else ""
            table.add_row(mark, f"[bold]{name}", Text(seconds, justify="right"), TELLS.get(name, event["detail"]))
        return table

    def _work(self) -> list[RenderableType]:
        """The bar of what is going on; it goes with the stage that it belongs to."""
        event = self.progress
        if event is None or not any(stage["phase"] == "begin" for stage in self.stages.values()):
            return []
        total = event.get("total")
        line = Table.grid(padding=(0, 2))
        bar = ProgressBar(total=total, completed=event["done"], width=_BAR, pulse=total is None)
        line.add_row(event["name"], bar, f"{event['done']}" + (f" of {total}" if total else ""))
        return [line]

    def _memory(self) -> list[RenderableType]:
        event = self.sample
        if event is None:
            return []
        used = event["total_kib"] - event["free_kib"]
        table = Table.grid(padding=(0, 2))
        table.add_row("", "")
        for name, full, part in (
            ("guest's memory", event["total_kib"], used),
            ("guest's swap", event["swap_kib"], event["swap_used_kib"]),
        ):
            bar = ProgressBar(total=max(full, 1), completed=part, width=_BAR)
            table.add_row(name, bar, f"{part / 1024:6.1f} of {full / 1024:.1f} MiB used")
        moved = f"{event['swap_written'] / 2**20:.1f} MiB written, {event['swap_read'] / 2**20:.1f} MiB read"
        table.add_row("swap disk", "", f"{moved} (counted by QEMU)")
        return [table]

    def _outcome_lines(self) -> list[RenderableType]:
        lines: list[RenderableType] = []
        for event in self.outcomes:
            style = "green" if event["outcome"] == "passed" else "red"
            says = event.get("says", "")
            name = event["test"].rpartition("::")[2]
            lines.append(
                Text.assemble("\n", (event["outcome"], style), f"  {name}  {event['seconds']:.2f} s\n  {says}")
            )
        return lines


@contextmanager
def live_view(journal: Journal, folder: Path) -> Iterator[None]:
    """Show a run while it goes on; plain lines where standard output is no terminal."""
    console = Console(file=sys.__stdout__)
    view = View()
    journal.listen(view.take)
    console.print("kvmd-lab: a kernel with kvmd in it, under swap pressure\n", highlight=False)
    try:
        if console.is_terminal:
            with Live(view, console=console, refresh_per_second=12):
                yield
        else:
            journal.listen(tell(console.file))
            yield
    finally:
        last = view.notes[-1] if view.notes else ""
        console.print(f"\n{last}\nthe run's folder: {folder}", soft_wrap=True, highlight=False, markup=False)
