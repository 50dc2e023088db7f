"""kvmd's shared sources against the names that compat/ offers for 6.1: what can be seen without a kernel."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lab.port import own_ledger
from lab.resources import folder
from lab.version import KernelVersion

KVMD = folder("kvmd")
SHARED = tuple(sorted(path.name for path in KVMD.glob("*.[ch]") if path.name != "kvmd_pin.c"))
LEDGER = own_ledger().meant_for(KernelVersion("6.1.192"))
INSTALLED = {record.install: record.files for record in LEDGER.records if record.install}
INCLUDE = re.compile(r"^#include <(\S+)>", re.MULTILINE)


def offered() -> set[str]:
    """Headers that are read before kvmd's sources, that are empty, or that kvmd brings itself."""
    names = set(INCLUDE.findall((KVMD / "compat/old_names.h").read_text()))
    names |= {name.partition("compat/include/")[2] for name in INSTALLED["kvmd/compat/gone.h"]}
    # what others of them include: mm.h the page tables, smp.h and sched.h the rest
    return names | {"linux/kvmd.h", "linux/kvmdctl.h", "asm/uaccess.h", "asm/pgtable.h"}


@pytest.mark.parametrize("name", SHARED)
def test_shared_source_is_installed_as_it_is(name: str) -> None:
    assert f"kvmd/{name}" in INSTALLED


@pytest.mark.parametrize("name", SHARED)
def test_headers_of_a_shared_source_are_read_before_the_old_names(name: str) -> None:
    assert set(INCLUDE.findall((KVMD / name).read_text())) - offered() == set()


@pytest.mark.parametrize("path", sorted((KVMD / "compat").glob("*.[ch]")), ids=lambda path: path.name)
def test_every_shim_is_installed(path: Path) -> None:
    assert f"kvmd/compat/{path.name}" in INSTALLED


def test_the_table_of_shims_names_every_old_name() -> None:
    text = (KVMD / "compat/old_names.h").read_text()
    told = (KVMD / "compat/README.md").read_text()
    names = set(re.findall(r"^#define (\w+)", text, re.MULTILINE)) - {"KVMD_OLD_NAMES_H", "semaphore"}
    assert names - set(re.findall(r"\w+", told)) == set()
