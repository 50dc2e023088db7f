"""A control: a build with one known defect put back, which a line of kvmd's own header names."""

from __future__ import annotations

import re

from lab.errors import ConfigError
from lab.port.ledger import Record

HEADER = "kvmd/kvmd_control.h"
_CHOICE = re.compile(rb"^#define KVMD_CONTROL KVMD_CONTROL_NONE$", re.MULTILINE)


def constant(control: str) -> str:
    """Turn a control's id ("lost-write") into what it is called in C."""
    return f"KVMD_CONTROL_{control.upper().replace('-', '_')}"


def installs_header(record: Record) -> bool:
    """Whether a record puts the header into the tree."""
    return record.install == HEADER


def put_back(header: bytes, control: str) -> bytes:
    """Return the header with a defect chosen; ConfigError if it knows none of that name."""
    name = constant(control)
    chosen, count = _CHOICE.subn(f"#define KVMD_CONTROL {name}".encode(), header)
    known = re.findall(r"^\t(KVMD_CONTROL_\w+),?$", header.decode(), re.MULTILINE)
    if count != 1 or name not in known or control == "none":
        raise ConfigError(
            f"{HEADER} knows no defect {control!r}", doing="choosing a control", hint="kvmd-lab controls --list"
        )
    return chosen
