"""A journal as plain lines, for logs and for terminals that are none."""

from __future__ import annotations

from typing import IO, Any

from lab.journal import Listener

# What each stage does, for somebody who sees it for the first time.
TELLS = {
    "source": "find the kernel's source, check that it is whole and unchanged",
    "remote": "set up the lab on the other host, once",
    "send": "send it there, once",
    "port": "adapt it to today's compiler, record by record, and put kvmd in",
    "configure": "choose what goes into the kernel",
    "build": "compile and link it",
    "audit": "look whether the linked kernel holds what its sources declare",
    "fetch": "bring what was made there back, once",
    "image": "compile the guest's programs, make its root and swap disks",
    "boot": "boot it in QEMU until the agent in the guest answers, take a snapshot",
    "restore": "put the machine back to that snapshot, so that each scenario begins alike",
    "leaks": "let the kernel look for memory that nobody points to",
}


def tell(sink: IO[str]) -> Listener:
    """Return a listener that writes a line when a stage ends or fails, and the notes that somebody should see."""

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
    if event["kind"] == "note" and event.get("told"):
        return f"{'note':<10} {event['text']}"
    return ""


def _mark(event: dict[str, Any]) -> str:
    return "done  " if event["phase"] == "end" else "FAILED"
