"""Whole builds of the toy tree, interrupted, twice at once, and failing: what takes longer than a moment."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from lab.build import Kernel, build
from lab.cache import file_digest
from lab.errors import AuditError, CompileError, HostError
from lab.journal import Journal
from lab.port import load
from tests.unit.build.toykernel import TOY_LEDGER, Bench, edit, fragment

SECONDS = 60.0
BUILD = """
import sys
from pathlib import Path
from tests.unit.build.toykernel import Bench
bench = Bench(Path(sys.argv[1]))
kernel = bench.build(fragments=tuple(map(Path, sys.argv[2:])))
print(kernel.key, kernel.fresh)
"""


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "cache")


def start(*arguments: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", BUILD, *map(str, arguments)], stdout=subprocess.PIPE, text=True)


def wait_for_file(path: Path, child: subprocess.Popen[str]) -> str:
    """Wait until a file holds a line; fail when the child ends before, or when it takes too long."""
    end = time.monotonic() + SECONDS
    while not (path.exists() and path.read_text().endswith("\n")):
        assert child.poll() is None, "the build ended"
        assert time.monotonic() < end, f"no {path}"
        select.select([], [], [], 0.01)
    return path.read_text()


def hang_pid(bench: Bench) -> Path:
    """Where the recipe that never ends writes its number."""
    (work,) = bench.entries("work")
    return bench.settings.cache / "work" / work / "mm" / "hang.pid"


def is_whole(bench: Bench, kernel: Kernel) -> bool:
    return kernel.read_manifest().bzimage_sha256 == file_digest(kernel.bzimage) and bench.entries("kernels") == [
        kernel.key
    ]


def test_smp_kernel_is_another_than_the_uniprocessor_one(bench: Bench) -> None:
    up, smp = bench.build(), bench.build(variant="smp")
    assert (up.smp, smp.smp) == (False, True)
    assert up.key != smp.key
    assert "CONFIG_SMP=y" in smp.config.read_text()


def test_kernel_without_kvmd_has_no_kvmd(bench: Bench) -> None:
    kernel = bench.build(kvmd=False)
    assert " kvmd_answer\n" not in kernel.system_map.read_text()
    assert kernel.read_manifest().audit.linked == {"initcalls": 2, "setup entries": 2}


def test_changed_include_lines_of_kvmd_make_a_fresh_work_tree(bench: Bench, tmp_path: Path) -> None:
    bench.build()
    own = bench.own_ledger(tmp_path / "ledger")
    edit(own.ledger / "kvmd" / "kvmd.c", "#include <linux/init.h>", "#include <linux/init.h>\n#include <linux/mm.h>")
    assert own.build().read_manifest().compiled == 15
    assert len(own.entries("work")) == 2


def test_patch_of_kvmd_survives_a_later_change_of_kvmd(bench: Bench, tmp_path: Path) -> None:
    own = bench.own_ledger(tmp_path / "ledger")
    patch = tmp_path / "mine.patch"
    lines = " \t\treturn 666666;\n-\treturn 41;\n+\treturn 4343;\n }\n"
    patch.write_text(f"--- a/mm/kvmd.c\n+++ b/mm/kvmd.c\n@@ -9,3 +9,3 @@\n{lines}")
    for change in ("", "/* a comment */\n"):
        source = own.ledger / "kvmd" / "kvmd.c"
        source.write_text(source.read_text() + change)
        assert (4343).to_bytes(4, "little") in own.build(patches=(patch,)).vmlinux.read_bytes()


def test_error_of_the_linker_shows_what_is_missing(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(CompileError, match="make bzImage failed") as caught:
        bench.build(fragments=(fragment(tmp_path, "CONFIG_TOY_FAIL_LINK=y"),))
    assert any("undefined reference to `nobody_defines_this'" in line for line in caught.value.seen)
    assert bench.entries("kernels") == []


def test_error_of_the_compiler_shows_its_line(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(CompileError) as caught:
        bench.build(fragments=(fragment(tmp_path, "CONFIG_TOY_FAIL_COMPILE=y"),))
    assert any("sched.c:" in line and "error: expected expression" in line for line in caught.value.seen)


def test_disk_that_is_full_for_the_assembler_is_a_host_error(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(HostError, match="the disk is full"):
        bench.build(fragments=(fragment(tmp_path, "CONFIG_TOY_FULL_DISK=y"),))


def test_kernel_that_the_audit_refuses_is_not_kept(bench: Bench, tmp_path: Path) -> None:
    asked = fragment(tmp_path, "CONFIG_TOY_BAD_CODE=y")
    for _ in range(2):
        with pytest.raises(AuditError, match=r"misc\.o: 1 instructions that a Pentium lacks, first: cmov"):
            bench.build(fragments=(asked,))
        assert bench.entries("kernels") == []


@pytest.mark.parametrize("name", ["compile", "configure", "audit"])
def test_interrupted_build_leaves_no_half_entry_and_the_next_one_is_whole(bench: Bench, name: str) -> None:
    def interrupt(event: dict[str, Any]) -> None:
        if event.get("name") == name and (event.get("done") == 5 or event.get("phase") == "begin"):
            raise KeyboardInterrupt

    journal = Journal()
    journal.listen(interrupt)
    with pytest.raises(KeyboardInterrupt):
        build(bench.plan(), bench.settings, journal)
    assert bench.entries("kernels") == []
    assert is_whole(bench, bench.build())


def test_killed_build_leaves_no_half_entry_and_the_next_one_is_whole(bench: Bench, tmp_path: Path) -> None:
    asked = fragment(tmp_path, "CONFIG_TOY_HANG=y")
    with start(bench.settings.cache, asked) as child:
        end = time.monotonic() + SECONDS
        while not bench.entries("work") or bench.entries("work")[0].endswith(".new"):
            assert time.monotonic() < end
            select.select([], [], [], 0.01)
        hanging = int(wait_for_file(hang_pid(bench), child))
        child.send_signal(signal.SIGKILL)
        child.wait(SECONDS)
    try:
        assert [name for name in bench.entries("kernels") if not name.startswith(".new-")] == []
        # The same kernel, which can be made now that the recipe does not hang.
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PATH", f"{instead_of_tail(tmp_path / 'bin')}:{os.environ['PATH']}")
            kernel = bench.build(fragments=(asked,))
        assert is_whole(bench, kernel)
        assert kernel.read_manifest().compiled == 15
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(hanging, signal.SIGKILL)


def instead_of_tail(folder: Path) -> Path:
    """A `tail` that makes the object which the hanging recipe never makes."""
    folder.mkdir()
    (folder / "tail").write_text("#!/bin/sh\nas --32 -o hang.o /dev/null\n")
    (folder / "tail").chmod(0o755)
    return folder


def test_two_builds_at_once_make_one_kernel(bench: Bench) -> None:
    with start(bench.settings.cache) as one, start(bench.settings.cache) as two:
        told = [child.communicate(timeout=SECONDS)[0].split() for child in (one, two)]
    assert [child.returncode for child in (one, two)] == [0, 0]
    kernel = bench.build()
    assert [key for key, _ in told] == [kernel.key, kernel.key]
    assert is_whole(bench, kernel)
    assert len(list((bench.settings.cache / "kernels" / kernel.key).glob("*"))) == 6


def test_builds_of_two_kvmds_at_once_do_not_mix(bench: Bench, tmp_path: Path) -> None:
    """They share the work tree, one after the other."""
    bench.build()
    own = bench.own_ledger(tmp_path / "ledger")
    edit(own.ledger / "kvmd" / "kvmd.c", "return 41;", "return 4242;")
    script = BUILD.replace("Bench(Path(sys.argv[1]))", f"Bench(Path(sys.argv[1]), Path({str(own.ledger)!r}))")
    with subprocess.Popen(
        [sys.executable, "-c", script, str(bench.settings.cache)], stdout=subprocess.PIPE, text=True
    ) as child:
        other = bench.own_ledger(tmp_path / "other")
        edit(other.ledger / "kvmd" / "kvmd.c", "return 41;", "return 4343;")
        mine = other.build()
        assert child.wait(SECONDS) == 0
    theirs = own.build()
    assert not theirs.fresh
    for kernel, number in ((mine, 4343), (theirs, 4242)):
        assert number.to_bytes(4, "little") in kernel.vmlinux.read_bytes()


def needed_by_the_compiler() -> list[str]:
    """Records of the toy's ledger without which the tree does not build.

    kvmd's are another matter, and toy-mmdrop is about what gcc 12 only warns of.
    """
    return [
        each.id
        for each in load(TOY_LEDGER / "kernel-patches").records
        if not each.id.startswith("toy-kvmd") and each.id not in ("toy-later-only", "toy-mmdrop")
    ]


def compiler_wants(record: str) -> bool:
    """Tell whether this gcc refuses a tree without the record.

    gcc 16.2 lets a definition take over the calling convention (regparm) of its declaration; for gcc 15.3 and older
    ones the two are conflicting types.
    """
    said = subprocess.run(["gcc", "-dumpversion"], capture_output=True, text=True, check=True).stdout
    return record not in ("toy-asmlinkage", "toy-fastcall") or int(said.partition(".")[0]) < 16


@pytest.mark.parametrize("left_out", needed_by_the_compiler())
def test_toy_without_one_record_does_not_build(bench: Bench, tmp_path: Path, left_out: str) -> None:
    own = bench.own_ledger(tmp_path / "ledger")
    for topic in (own.ledger / "kernel-patches").glob("*.toml"):
        text = topic.read_text()
        blocks = text.split("[[record]]\n")
        kept = [block for block in blocks if f'id = "{left_out}"\n' not in block]
        topic.write_text("[[record]]\n".join(kept))
    if compiler_wants(left_out):
        with pytest.raises(CompileError):
            own.build()
    else:
        assert is_whole(own, own.build())
