"""A mutant: a build with one known defect put back, which a line of kvmd's own header names."""

from __future__ import annotations

import re

from lab.errors import ConfigError
from lab.port.ledger import Record

HEADER = "kvmd/kvmd_mutant.h"
_CHOICE = re.compile(rb"^#define KVMD_MUTANT KVMD_MUTANT_NONE$", re.MULTILINE)


def constant(mutant: str) -> str:
    """Turn a mutant's id ("lost-write") into what it is called in C."""
    return f"KVMD_MUTANT_{mutant.upper().replace('-', '_')}"


def installs_header(record: Record) -> bool:
    """Whether a record puts the header into the tree."""
    return record.install == HEADER


def put_back(header: bytes, mutant: str) -> bytes:
    """Return the header with a defect chosen; ConfigError if it knows none of that name."""
    name = constant(mutant)
    chosen, count = _CHOICE.subn(f"#define KVMD_MUTANT {name}".encode(), header)
    known = re.findall(r"^\t(KVMD_MUTANT_\w+),?$", header.decode(), re.MULTILINE)
    if count != 1 or name not in known or mutant == "none":
        raise ConfigError(
            f"{HEADER} knows no defect {mutant!r}", doing="choosing a mutant", hint="kvmd-lab mutants --list"
        )
    return chosen
