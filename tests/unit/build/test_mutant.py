"""Builds with a defect put back: of the toy, and what the project's own header leaves in an object."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from lab.build import Kernel
from lab.build.mutant import HEADER, constant, put_back
from lab.errors import ConfigError
from lab.mutants import load
from lab.resources import folder
from tests.unit.build.toykernel import Bench, edit

Warm = tuple[Bench, Kernel]
DEFECT = (666666).to_bytes(4, "little")
OWN = folder("kvmd") / "kvmd_mutant.h"
IDS = [mutant.id for mutant in load()]


def test_mutant_compiles_only_what_includes_the_header_and_has_its_defect(warm: Warm) -> None:
    bench = Bench(warm[0].settings.cache)
    kernel = bench.build(mutant="wrong-answer")
    assert kernel.fresh
    assert kernel.key != warm[1].key
    assert (kernel.read_manifest().mutant, kernel.read_manifest().compiled) == ("wrong-answer", 1)
    assert "port" not in bench.stages()
    assert DEFECT in kernel.vmlinux.read_bytes()
    assert DEFECT not in warm[1].vmlinux.read_bytes()


def test_ordinary_build_after_a_mutant_is_ordinary(warm: Warm, tmp_path: Path) -> None:
    bench = warm[0].own_ledger(tmp_path / "ledger")
    edit(bench.ledger / "kvmd" / "kvmd.c", "return 41;", "return 434343;")
    assert DEFECT in bench.build(mutant="wrong-answer").vmlinux.read_bytes()
    kernel = bench.build()
    assert kernel.read_manifest().mutant is None
    assert DEFECT not in kernel.vmlinux.read_bytes()
    assert (434343).to_bytes(4, "little") in kernel.vmlinux.read_bytes()


def test_mutant_built_first_has_its_defect(bench: Bench) -> None:
    assert DEFECT in bench.build(mutant="wrong-answer").vmlinux.read_bytes()
    assert DEFECT not in bench.build().vmlinux.read_bytes()


def test_mutant_keeps_what_a_patch_changed_in_kvmd(bench: Bench, tmp_path: Path) -> None:
    patch = tmp_path / "mine.patch"
    patch.write_text(
        "--- a/mm/kvmd.c\n+++ b/mm/kvmd.c\n@@ -9,3 +9,3 @@\n \t\treturn 666666;\n-\treturn 41;\n+\treturn 525252;\n }\n"
    )
    for mutant in (None, "wrong-answer", "late-answer", None):
        kernel = bench.build(patches=(patch,), mutant=mutant)
        assert (DEFECT in kernel.vmlinux.read_bytes()) == (mutant == "wrong-answer")
        assert mutant == "wrong-answer" or (525252).to_bytes(4, "little") in kernel.vmlinux.read_bytes()


@pytest.mark.parametrize("name", ["no-such", "none", "wrong", "wrong-answer,", ""])
def test_unknown_mutant_is_a_config_error(bench: Bench, name: str) -> None:
    with pytest.raises(ConfigError, match="knows no defect"):
        bench.build(mutant=name)
    assert bench.entries("work") == []


def test_ledger_without_the_header_is_a_config_error(bench: Bench, tmp_path: Path) -> None:
    own = bench.own_ledger(tmp_path / "ledger")
    edit(own.ledger / "kernel-patches" / "70-kvmd.toml", "kvmd/kvmd_mutant.h", "kvmd/kvmd.h")
    with pytest.raises(ConfigError, match="no header for mutants"):
        own.build(mutant="wrong-answer")


def code(header: bytes, place: Path, *, hooks: bool = True) -> bytes:
    """The machine code of a function that hangs something on each of the project's own defects."""
    for name in ("linux/sched.h", "asm/semaphore.h"):
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_text("")
    (place / Path(HEADER).name).write_bytes(
        b"struct semaphore; int down_trylock(struct semaphore *); void schedule_timeout(int);\n"
        b"#define set_current_state(state)\n" + header
    )
    lines = [f"\tif (kvmd_mutant({constant(one).removeprefix('KVMD_MUTANT_')}))\n\t\ttrace();\n" for one in IDS]
    source = '#include "kvmd_mutant.h"\nvoid trace(void);\nvoid all(void);\nvoid all(void)\n{\n'
    (place / "all.c").write_text(source + "".join(lines if hooks else []) + "}\n")
    argv = ["gcc", "-m32", "-O2", f"-I{place}", "-c", "-o", str(place / "all.o"), str(place / "all.c")]
    subprocess.run(argv, check=True)
    return subprocess.run(["objdump", "-dr", place / "all.o"], check=True, capture_output=True).stdout


def test_ordinary_object_has_no_trace_of_any_mutant(tmp_path: Path) -> None:
    plain = OWN.read_bytes()
    assert code(plain, tmp_path) == code(plain, tmp_path, hooks=False)


@pytest.mark.parametrize("name", IDS)
def test_mutant_brings_back_one_defect(name: str, tmp_path: Path) -> None:
    assert code(put_back(OWN.read_bytes(), name), tmp_path).count(b"trace") == 1
