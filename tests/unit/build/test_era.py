"""Kernels of today beside those of 2000: what the build asks of each, and what it looks at afterwards."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from lab.build.audit_today import audit_today
from lab.build.config import configure, merge, parse
from lab.build.era import ERAS, HISTORIC, TODAY, Era, era_of
from lab.build.make import make
from lab.build.toolchain import Toolchain
from lab.errors import ConfigError
from lab.journal import Journal
from lab.port import own_ledger
from lab.version import KernelVersion

GCC = Toolchain("gcc", (), "gcc")


@pytest.mark.parametrize(
    ("version", "era"), [("2.3.51", HISTORIC), ("2.4.0-test12", HISTORIC), ("6.1.0", TODAY), ("6.1.192", TODAY)]
)
def test_version_belongs_to_an_era(version: str, era: Era) -> None:
    assert era_of(KernelVersion(version)) is era


def test_version_between_the_eras_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"how to build 5\.10\.3"):
        era_of(KernelVersion("5.10.3"))


def test_variant_that_an_era_does_not_know_is_refused() -> None:
    with pytest.raises(ConfigError, match="no variant 'numa'"):
        TODAY.kernel_for("numa")


@pytest.mark.parametrize(
    ("era", "variant", "checks", "serves"),
    [
        (TODAY, "up", True, "smp"),
        (TODAY, "smp", True, "smp"),
        (TODAY, "up", False, "up"),
        (TODAY, "smp", False, "smp"),
        (HISTORIC, "up", True, "up"),
        (HISTORIC, "smp", False, "smp"),
    ],
)
def test_kernel_that_watches_itself_serves_any_number_of_processors(
    era: Era, variant: str, *, checks: bool, serves: str
) -> None:
    assert era.kernel_for(variant, checks=checks) == serves
    names = era.fragments_for(serves, KernelVersion("6.1.192"), checks=checks)
    asked = merge([own_ledger().home / "config" / era.folder / f"{name}.config" for name in names])
    assert (asked.get("CONFIG_SMP") == "y") == (serves == "smp")


@pytest.mark.parametrize("checks", [True, False])
@pytest.mark.parametrize("era", ERAS)
def test_own_fragments_of_an_era_agree(era: Era, *, checks: bool) -> None:
    folder = own_ledger().home / "config" / era.folder
    for variant in era.fragments:
        for version in ("2.3.99-pre3", "6.1.192", "6.12.117", "7.2.12"):
            names = era.fragments_for(variant, KernelVersion(version), checks=checks)
            assert merge([folder / f"{name}.config" for name in (*names, "kvmd")])["CONFIG_KVMD"] == "y"


@pytest.mark.parametrize(
    ("version", "small_tables", "no_highmem"),
    [("6.1.192", "y", "y"), ("6.12.117", None, "y"), ("6.15.0", None, None), ("7.2.12", None, None)],
)
def test_option_is_asked_for_where_the_kernel_has_it(
    version: str, small_tables: str | None, no_highmem: str | None
) -> None:
    folder = own_ledger().home / "config" / TODAY.folder
    names = TODAY.fragments_for("smp", KernelVersion(version), checks=False)
    asked = merge([folder / f"{name}.config" for name in names])
    assert (asked.get("CONFIG_BASE_FULL"), asked.get("CONFIG_NOHIGHMEM")) == (small_tables, no_highmem)


def test_checks_are_left_out_when_nobody_wants_them() -> None:
    version = KernelVersion("6.1.192")
    assert set(TODAY.fragments_for("smp", version, checks=True)) - set(
        TODAY.fragments_for("smp", version, checks=False)
    ) == {"checks"}  # lean instead


def test_todays_kernel_watches_its_locks_and_its_memory() -> None:
    asked = merge([own_ledger().home / "config/today/checks.config"])
    wanted = "PROVE_LOCKING DEBUG_ATOMIC_SLEEP SLUB_DEBUG_ON DEBUG_KMEMLEAK FAILSLAB FAIL_PAGE_ALLOC"
    assert {asked.get(f"CONFIG_{name}") for name in wanted.split()} == {"y"}


def test_options_that_nobody_asked_for_are_left_out(tmp_path: Path) -> None:
    recipe = "\t@cp $(KCONFIG_ALLCONFIG) .config; echo '# CONFIG_REST is not set' >> .config\n"
    (tmp_path / "Makefile").write_text(f"allnoconfig:\n{recipe}")
    text = configure(tmp_path, {"CONFIG_A": "y", "CONFIG_B": "n"}, Journal(), tmp_path / "log", "allnoconfig")
    assert parse(text) == {"CONFIG_A": "y", "CONFIG_B": "n", "CONFIG_REST": "n"}


def test_option_that_todays_scripts_drop_is_told(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text("allnoconfig:\n\t@touch .config\n")
    with pytest.raises(ConfigError, match="dropped CONFIG_A=y became n"):
        configure(tmp_path, {"CONFIG_A": "y"}, Journal(), tmp_path / "log", "allnoconfig")


def test_sources_that_todays_make_compiles_are_counted(tmp_path: Path) -> None:
    heard: list[dict[str, Any]] = []
    journal = Journal()
    journal.listen(heard.append)
    lines = [
        "  CC      mm/a.o",
        "  HOSTCC  scripts/b.o",
        "  AS      arch/c.o",
        "  LD      vmlinux.o",
        "  CC      [M] d.o",
    ]
    (tmp_path / "Makefile").write_text("bzImage:\n" + "".join(f"\t@echo '{line}'\n" for line in lines))
    assert make(tmp_path, GCC, 1, journal, tmp_path / "log", 7, historic=False) == 2
    assert [(event["done"], event["total"]) for event in heard if event["kind"] == "progress"] == [(1, 7), (2, 7)]


def test_todays_kernel_says_the_same_of_its_builder_everywhere(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text(
        "bzImage:\n\t@echo '[$(CC)] [$(AS)] [$(KBUILD_BUILD_USER)@$(KBUILD_BUILD_HOST)]'\n"
    )
    make(tmp_path, GCC, 1, Journal(), tmp_path / "log", historic=False)
    assert "[gcc] [as] [kvmd@lab]\n" in (tmp_path / "log").read_text()


# Two initcalls and one for the console, one word of the command line, two exceptions in order, kvmd.
WHOLE = {
    "initcall": "__initcall_start: __initcall__a: .long 0\n __initcall__b: .long 0\n __initcall_end:\n",
    "console": "__con_initcall_start: __initcall__c: .long 0\n __con_initcall_end:\n",
    "setup": "__setup_start: .long __setup_str_x, 0, 0\n __setup_end: __setup_str_x:\n",
    "kvmd": "".join(
        f"kvmd{name}: nop\n" for name in ["_init", "ctl_start", "_open", "_alloc", "_map", "_unmap", "_free", "_close"]
    ),
    "exceptions": '.section __ex_table,"a"\n .long 0x100, 0, 0\n .long 0x100, 0, 0\n',
}


def link(folder: Path, **changed: str) -> Path:
    """Make a vmlinux of these pieces."""
    text = "\n".join((WHOLE | changed).values())
    (folder / "a.s").write_text(f"{text}\n")
    subprocess.run(["as", "--32", "-o", folder / "vmlinux", folder / "a.s"], check=True)
    return folder


def test_whole_kernel_of_today_passes_the_audit(tmp_path: Path) -> None:
    result = audit_today(link(tmp_path), kvmd=True)
    assert result.findings == ()
    assert (result.linked, result.exception_entries) == ({"initcalls": 3, "setup entries": 1}, 2)


@pytest.mark.parametrize(
    ("changed", "finding"),
    [
        (
            {"initcall": "__initcall_start: __initcall__a: __initcall__b: .long 0\n __initcall_end:"},
            "3 initcalls are decl",
        ),
        ({"setup": "__setup_start: .long 0, 0, 0\n __setup_end:"}, "0 setup entries are declared, 1 are linked"),
        ({"setup": "__setup_start: __setup_end:"}, "0 setup entries are declared, 0 are linked"),
        ({"exceptions": '.section __ex_table,"a"\n .long 0x100, 0, 0\n .long 0x80, 0, 0'}, "table is not sorted"),
        ({"kvmd": "kvmd_init: nop"}, "kvmd was asked for, but is not linked: kvmdctl_start, kvmd_open"),
    ],
)
def test_kernel_of_today_that_lacks_something_is_told(tmp_path: Path, changed: dict[str, str], finding: str) -> None:
    (found,) = audit_today(link(tmp_path, **changed), kvmd=True).findings
    assert finding in found


def test_kernel_of_today_without_kvmd_need_not_have_it(tmp_path: Path) -> None:
    assert audit_today(link(tmp_path, kvmd="nop"), kvmd=False).findings == ()
