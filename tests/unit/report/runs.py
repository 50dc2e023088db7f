"""Journals for tests of the views, put together event by event."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from lab.report.view import Run, view

Event = dict[str, Any]
SEED = 7
FAULT_LINE = "Unable to handle kernel NULL pointer dereference at virtual address 00000010"
HOSTILE = '</pre><script>alert("1")</script>\x1b[31m\x00 & <b>'


def outcome(
    t: float, test: str, phase: str = "call", result: str = "passed", seconds: float = 0.5, **more: Any
) -> Event:
    return {"t": t, "kind": "outcome", "test": test, "says": f"What {test} shows.", "phase": phase} | {
        "outcome": result,
        "seconds": seconds,
        **more,
    }


def whole_test(begin: float, name: str, *, worker: str = "", result: str = "passed", **more: Any) -> list[Event]:
    """A test of three phases, 0.1 s, 0.8 s and 0.1 s long; what is given besides goes to the call."""
    test = f"test_{name}.py::test_{name}[{SEED}]"
    made = [
        outcome(begin + 0.1, test, "setup", seconds=0.1),
        outcome(begin + 0.9, test, "call", result, seconds=0.8, **more),
        outcome(begin + 1.0, test, "teardown", seconds=0.1),
    ]
    return [{**event, "worker": worker} if worker else event for event in made]


def sample(t: float, *, free: int = 8192, used: int = 0, read: int = 0, written: int = 0, **more: Any) -> Event:
    figures = {"total_kib": 14336, "free_kib": free, "swap_kib": 98304, "swap_used_kib": used}
    return {
        "t": t,
        "kind": "sample",
        "source": "machine",
        **figures,
        "swap_read": read,
        "swap_written": written,
        **more,
    }


def agent(t: float, op: str = "PING", seconds: float = 0.001, status: int | str = 0, **more: Any) -> Event:
    return {"t": t, "kind": "agent", "op": op, "task": 1, "seconds": seconds, "status": status, **more}


def console(t: float, line: str, **more: Any) -> Event:
    return {"t": t, "kind": "console", "line": line, **more}


def note(t: float, text: str, **more: Any) -> Event:
    return {"t": t, "kind": "note", "text": text, **more}


def stage(t: float, name: str, seconds: float = 0.1, phase: str = "end", detail: str = "", **more: Any) -> Event:
    return {"t": t, "kind": "stage", "name": name, "phase": phase, "detail": detail, "seconds": seconds, **more}


def good_run() -> list[Event]:
    """One scenario that passed, sampled all the time."""
    return [
        {"t": 0.0, "kind": "run", "repeat": "kvmd-lab run regions --samples", "began": "2026-01-02T03:04:05+00:00"},
        note(0.1, f"seed {SEED}"),
        note(0.2, "source: 2.3.99-pre3 from a folder, digest 123456789abc"),
        stage(0.3, "source", detail="2.3.99-pre3"),
        {"t": 1.05, "kind": "machine", "test": "", "cpus": 1, "ram_mib": 16, "swap_mib": 96},
        *(sample(1.1 + n / 10, free=8192 - 1024 * n, used=512 * n, written=n << 20, guest=5.0 + n) for n in range(8)),
        agent(1.2, "KVMD_IOCTL", command=0x4B00),
        agent(1.6, "KVMD_IOCTL", seconds=0.3, command=0x4B06),
        agent(1.7, "KVMD_IOCTL", status=-12, command=0x4B02),
        console(1.3, "Adding Swap: 98296k swap-space (priority -1)"),
        *whole_test(1.0, "regions"),
        note(2.5, "1 passed, 0 failed, 0 errors"),
    ]


def bad_run(line: str = FAULT_LINE) -> list[Event]:
    """A kernel that died in the second of two scenarios."""
    why = f"{line}\n  | the last line\n  try: another kernel"
    return [
        *good_run()[:-1],
        *(console(3.0 + n / 100, f"line {n}") for n in range(30)),
        console(3.5, line),
        {"t": 3.6, "kind": "fault", "what": "oops", "text": line, "eip": "kvmd_map+0x10"}
        | {"process": "kvmd/0 (pid 7)", "trace": ["kvmd_ioctl+0x20", "sys_ioctl+0x30"]},
        {"t": 3.7, "kind": "check", "what": "assert 1 == 2", "passed": False, "line": "test_x.py:3"},
        *whole_test(2.9, "dies", result="failed", verdict="failed", why=why, trace=f"> {line}"),
        note(4.5, "GuestFault\n\n1 passed, 1 failed, 0 errors"),
    ]


def seen(events: list[Event]) -> Run:
    return view(sorted(events, key=lambda event: float(event["t"])), "a-run")


def write(folder: Path, events: list[Event]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "journal.jsonl").write_bytes(b"".join(msgspec.json.encode(event) + b"\n" for event in events))
    return folder
