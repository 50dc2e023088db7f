"""A journal as plain lines, for logs and for terminals that are none."""

from __future__ import annotations

from typing import IO, Any

from lab.journal import Listener


def tell(sink: IO[str]) -> Listener:
    """Return a listener that writes a line when a stage ends, fails, or takes up work that lasts."""

    def listener(event: dict[str, Any]) -> None:
        line = line_of(event)
        if line:
            print(line, file=sink, flush=True)

    return listener


def line_of(event: dict[str, Any]) -> str:
    """Turn an event into a line; most have none."""
    if event["kind"] == "stage" and event["phase"] != "begin":
        return f"{event['name']:<10} {_mark(event)} {event['seconds']:7.2f} s  {event['detail']}".rstrip()
    if event["kind"] == "outcome" and (event["phase"] == "call" or event["outcome"] == "failed"):
        name = event["test"].rpartition("::")[2]
        return f"{'scenario':<10} {event['outcome']:<6} {event['seconds']:7.2f} s  {name}"
    return ""


def _mark(event: dict[str, Any]) -> str:
    return "done  " if event["phase"] == "end" else "FAILED"
