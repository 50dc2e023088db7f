"""Each finding of the link audit, on a kernel of a few lines of assembly that is made for it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from lab.build.audit import Audit, audit, audit_decompressor
from lab.build.toolchain import Toolchain
from tests.unit.build.toykernel import TOY_TREE

SOURCE = """\
#define __initcall(f) int (*call_##f)(void) __attribute__((section(".initcall.init"))) = f
#define __setup(t, f) struct { char *text; int (*call)(char *); } set_##f __attribute__ ((__section__ (".setup.init")))
#ifdef __SMP__
__initcall(second);
#endif
#ifdef NEVER
__initcall(third);
#endif
__initcall(first);
__setup("x=", x);
"""
TEXT = """
.text
.globl stext, unpack
.type stext, @function
stext:
	movl (%eax), %ebx
	nop
	ret
"""
INITCALL = '.section .initcall.init,"aw"\n.long stext\n'
SETUP = '.section .setup.init,"aw"\n.long 0, stext\n'
TABLE = '.section __ex_table,"a"\n.long stext, stext+2, stext+2, stext+3\n'
GOOD = TEXT + INITCALL + SETUP + TABLE


class Kernel:
    """A tree with one source whose object is assembled from whatever the test says."""

    def __init__(self, root: Path, gcc: Toolchain) -> None:
        self.root = root
        self.gcc = gcc
        (root / "arch/i386/boot/compressed").mkdir(parents=True)
        (root / "include").mkdir()
        self.objects: list[Path] = []

    def assemble(self, assembly: str, *, source: str = SOURCE, name: str = "kernel.o") -> None:
        path = self.root / name
        path.with_suffix(".c").write_text(source)
        subprocess.run(["as", "--32", "-o", str(path)], input=assembly, text=True, check=True)
        self.objects.append(path)

    def audit(self, *options: str, smp: bool = False, script: Path = TOY_TREE / "arch/i386/vmlinux.lds") -> Audit:
        argv = ["ld", "-m", "elf_i386", "-T", str(script), "-e", "stext", *options, *map(str, self.objects)]
        subprocess.run([*argv, "-o", str(self.root / "vmlinux")], check=True)
        return audit(self.root, self.gcc, smp)


@pytest.fixture
def kernel(tmp_path: Path, gcc: Toolchain) -> Kernel:
    return Kernel(tmp_path / "ein Baum", gcc)


def test_kernel_that_holds_what_its_source_declares_has_no_findings(kernel: Kernel) -> None:
    kernel.assemble(GOOD)
    assert kernel.audit() == Audit(
        declared={"initcalls": 1, "setup entries": 1},
        linked={"initcalls": 1, "setup entries": 1},
        exception_entries=2,
        findings=(),
    )


def test_dropped_initcall_is_found_in_the_object_and_in_the_sum(kernel: Kernel) -> None:
    kernel.assemble(TEXT + SETUP + TABLE)
    assert kernel.audit().findings == (
        "kernel.o: the source declares 1 initcalls, the object holds 0",
        "1 initcalls are declared, 0 are linked",
    )


def test_missing_setup_entry_is_found(kernel: Kernel) -> None:
    kernel.assemble(TEXT + INITCALL + TABLE)
    assert kernel.audit().findings == (
        "kernel.o: the source declares 1 setup entries, the object holds 0",
        "1 setup entries are declared, 0 are linked",
    )


def test_initcall_that_the_link_script_drops_is_found_in_the_sum(kernel: Kernel, tmp_path: Path) -> None:
    script = tmp_path / "vmlinux.lds"
    text = (TOY_TREE / "arch/i386/vmlinux.lds").read_text()
    script.write_text(text.replace(".initcall.init : { *(.initcall.init) }", "/DISCARD/ : { *(.initcall.init) }"))
    kernel.assemble(GOOD)
    assert kernel.audit(script=script).findings == ("1 initcalls are declared, 0 are linked",)


def test_declaration_for_more_processors_counts_only_there(kernel: Kernel) -> None:
    kernel.assemble(GOOD)
    assert kernel.audit(smp=True).findings[0] == "kernel.o: the source declares 2 initcalls, the object holds 1"


def test_object_that_the_archive_did_not_give_does_not_count(kernel: Kernel) -> None:
    kernel.assemble(GOOD)
    kernel.assemble(".globl unused\nunused: ret\n" + INITCALL.replace("stext", "unused") + SETUP, name="unused.o")
    kernel.objects.pop()
    assert kernel.audit().findings == ()


def test_objects_of_the_boot_loader_do_not_count(kernel: Kernel) -> None:
    kernel.assemble(GOOD)
    kernel.assemble("ret\n", name="arch/i386/boot/compressed/misc.o")
    kernel.objects.pop()
    assert kernel.audit().declared == {"initcalls": 1, "setup entries": 1}


@pytest.mark.parametrize("section", [".got", ".got.plt", ".plt", ".rel.dyn", ".dynstr", ".eh_frame", ".interp"])
def test_section_of_another_kind_of_link_is_found(kernel: Kernel, section: str) -> None:
    kernel.assemble(f'{GOOD}.section {section},"aw",@progbits\n.long 1\n')
    assert [text for text in kernel.audit().findings if text.startswith(f"section {section} (")] != []


def test_call_through_a_table_is_found(kernel: Kernel) -> None:
    kernel.assemble(GOOD + ".text\n.byte 0xa1\n.long stext@GOT\nret\n")
    assert any(text.startswith("section .got") for text in kernel.audit().findings)


@pytest.mark.parametrize("name", ["__stack_chk_fail", "__stack_chk_fail_local", "__stack_chk_guard"])
def test_symbol_of_the_stack_protector_is_found(kernel: Kernel, name: str) -> None:
    kernel.assemble(f"{GOOD}.text\n.globl {name}\n{name}: ret\n")
    assert kernel.audit().findings == (f"symbol {name} has no place in this kernel",)


@pytest.mark.parametrize("section", [".text", ".text.init"])
def test_function_that_begins_with_a_landing_pad_is_found(kernel: Kernel, section: str) -> None:
    kernel.assemble(f'{GOOD}.section {section},"ax"\nnop\n.globl pad\n.type pad, @function\npad: endbr32\nret\n')
    assert kernel.audit().findings == ("pad begins with endbr32",)


def test_exception_table_that_is_not_sorted_is_found(kernel: Kernel) -> None:
    table = '.section __ex_table,"a"\n.long stext+2, stext+3, stext, stext+2\n'
    kernel.assemble(TEXT + INITCALL + SETUP + table)
    assert kernel.audit().findings == ("the exception table is not sorted: lookups by bisection will miss entries",)


@pytest.mark.parametrize("entry", ["data, stext", "stext, data", "0, stext"])
def test_exception_entry_outside_the_text_is_found(kernel: Kernel, entry: str) -> None:
    kernel.assemble(f'{TEXT}{INITCALL}{SETUP}.data\ndata: .long 0\n.section __ex_table,"a"\n.long {entry}\n')
    (finding,) = kernel.audit().findings
    assert finding.startswith("1 entries of the exception table lie outside the text, the first at ")


def test_missing_exception_table_is_found(kernel: Kernel) -> None:
    kernel.assemble(TEXT + INITCALL + SETUP)
    assert kernel.audit().findings == ("there is no exception table",)


def test_kernel_without_the_symbols_of_its_text_is_found(kernel: Kernel, tmp_path: Path) -> None:
    script = tmp_path / "vmlinux.lds"
    script.write_text((TOY_TREE / "arch/i386/vmlinux.lds").read_text().replace("_etext", "_other"))
    kernel.assemble(GOOD)
    assert kernel.audit(script=script).findings == (
        "there is no symbol _text or _etext, so nothing says where the text is",
    )


@pytest.mark.parametrize(
    ("instruction", "name"),
    [("cmovne %eax, %ebx", "cmovne"), ("addps %xmm1, %xmm2", "addps"), ("sysenter", "sysenter")],
)
def test_instruction_that_a_pentium_lacks_is_found_in_the_kernel(kernel: Kernel, instruction: str, name: str) -> None:
    kernel.assemble(f"{GOOD}.text\n{instruction}\n")
    (finding,) = kernel.audit().findings
    assert finding.startswith(f"vmlinux: 1 instructions that a Pentium lacks, first: {name}")


def test_instruction_that_a_pentium_lacks_is_found_in_the_decompressor(kernel: Kernel) -> None:
    kernel.assemble(GOOD)
    kernel.assemble("cmovl %eax, %ebx\ncmovg %eax, %ebx\n", name="arch/i386/boot/compressed/misc.o")
    kernel.assemble("cmovl %eax, %ebx\n", name="arch/i386/boot/compressed/piggy.o")
    assert audit_decompressor(kernel.root) == [
        "arch/i386/boot/compressed/misc.o: 2 instructions that a Pentium lacks, first: cmovl"
    ]
