from __future__ import annotations

from pathlib import Path

import pytest

from lab.port.transforms import NAMED, REGPARM
from lab.port.workspace import Workspace
from tests.unit.port.toyport import soup

PROMISE = "extern void FASTCALL(foo(int a));\nextern struct page * FASTCALL(bar(int a));\n"
OPTIONS = {"headers": "include/*.h"}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "include").mkdir()
    (tmp_path / "include" / "promise.h").write_text(PROMISE)
    return Workspace(tmp_path)


def transform(name: str, text: str, workspace: Workspace) -> tuple[str, int]:
    return NAMED[name](text, workspace, OPTIONS)


@pytest.mark.parametrize("name", sorted(NAMED))
def test_random_pieces_transformed_twice_change_once(name: str, workspace: Workspace) -> None:
    for seed in range(200):
        text = soup(seed)
        once, places = transform(name, text, workspace)
        assert (places == 0) == (once == text), f"seed {seed}"
        assert transform(name, once, workspace) == (once, 0), f"seed {seed}"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"a\nb"', '"a\\n\\\nb"'),
        ('"a\n\nb"', '"a\\n\\\n\\n\\\nb"'),
        ('"a\\\\\nb"', '"a\\\\\\n\\\nb"'),
        ('/* " */ "a\nb"', '/* " */ "a\\n\\\nb"'),
    ],
)
def test_string_over_line_ends_gets_escapes(before: str, after: str, workspace: Workspace) -> None:
    assert transform("join-strings", before, workspace) == (after, 1)


@pytest.mark.parametrize(
    "text", ['"a\\\nb"', "'\"'\n'\"'", '/* " \n " */', '#error don\'t "\nint a; // "\n', '"a" "b"\n"c"']
)
def test_text_without_a_string_over_a_line_end_stays(text: str, workspace: Workspace) -> None:
    assert transform("join-strings", text, workspace) == (text, 0)


@pytest.mark.parametrize(
    "declaration",
    [
        "void foo(int a)\n{\n}",
        "void foo(int);",
        "static void foo(int a)\n{\n}",
        "asmlinkage void foo(int a) { foo(a); }",
        "struct page *bar(int a)\n{\n\treturn 0;\n}",
        "struct page * bar(int a);",
        "__attribute__((noreturn)) void foo(int a) { }",
    ],
)
def test_declaration_of_a_promised_function_gets_the_attribute(declaration: str, workspace: Workspace) -> None:
    assert transform("regparm-definitions", declaration, workspace) == (f"{REGPARM} {declaration}", 1)


def test_directives_in_front_stay_in_front(workspace: Workspace) -> None:
    text = "#include <x.h>\n#define M(a) \\\n\t(a)\n#error don't \"\nvoid foo(int a) { }"
    wanted = text.replace("void foo", f"{REGPARM} void foo")
    assert transform("regparm-definitions", text, workspace) == (wanted, 1)


def test_declaration_behind_a_declaration_gets_the_attribute(workspace: Workspace) -> None:
    text = "int x = 1;\nint other(void) { return foo(1); }\nvoid foo(int a) { }"
    wanted = text.replace("void foo", f"{REGPARM} void foo")
    assert transform("regparm-definitions", text, workspace) == (wanted, 1)


@pytest.mark.parametrize(
    "text",
    [
        "void FASTCALL(foo(int a));",
        "extern void FASTCALL(foo(int a));",
        "__attribute__((regparm(3))) void foo(int a) { }",
        "void __attribute__((regparm(3))) foo(int a) { }",
        "void other(int a) { foo(a); }",
        "#define foo(a) bar(a)\n",
        "/* void foo(int a); */",
        "int x = foo(3);",
        "EXPORT_SYMBOL(foo)\n",
        "void foo;",
        "void fool(int a) { }",
    ],
)
def test_anything_but_a_bare_declaration_stays(text: str, workspace: Workspace) -> None:
    assert transform("regparm-definitions", text, workspace) == (text, 0)


def test_promise_of_the_same_file_counts(workspace: Workspace) -> None:
    text = "static void FASTCALL(own(int));\nstatic void own(int a) { }"
    wanted = text.replace("static void own", f"{REGPARM} static void own")
    assert transform("regparm-definitions", text, workspace) == (wanted, 1)


def test_definition_of_the_macro_itself_promises_nothing(workspace: Workspace) -> None:
    text = "#define FASTCALL(x) x __attribute__((regparm(3)))\nvoid x(int a) { }"
    assert transform("regparm-definitions", text, workspace) == (text, 0)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('printk(__FUNCTION__ ": bad\\n");', 'printk("%s" ": bad\\n", __FUNCTION__);'),
        ('printk("in " __FUNCTION__);', 'printk("in " "%s", __FUNCTION__);'),
        ('printk(KERN_ERR __FUNCTION__ ": %d\\n", x);', 'printk(KERN_ERR "%s" ": %d\\n", __FUNCTION__, x);'),
        ('printk("%d " __FUNCTION__ " %s", a, b);', 'printk("%d " "%s" " %s", a, __FUNCTION__, b);'),
        ('printk("%d " __FUNCTION__, f(1, 2));', 'printk("%d " "%s", f(1, 2), __FUNCTION__);'),
        ('printk("100%% " __FUNCTION__ " %d", a);', 'printk("100%% " "%s" " %d", __FUNCTION__, a);'),
        ('printk("%*d " __FUNCTION__, w, a);', 'printk("%*d " "%s", w, a, __FUNCTION__);'),
        ('printk("%08lx " __FUNCTION__, a);', 'printk("%08lx " "%s", a, __FUNCTION__);'),
    ],
)
def test_function_name_becomes_an_argument_at_its_place(before: str, after: str, workspace: Workspace) -> None:
    assert transform("function-name-argument", before, workspace) == (after, 1)


def test_two_function_names_become_two_arguments_in_their_order(workspace: Workspace) -> None:
    before = 'printk(__FUNCTION__ " %d " __FUNCTION__, a);'
    after = 'printk("%s" " %d " "%s", __FUNCTION__, a, __FUNCTION__);'
    assert transform("function-name-argument", before, workspace) == (after, 2)


@pytest.mark.parametrize(
    "text",
    [
        'printk("%s", __FUNCTION__);',
        "f(__FUNCTION__);",
        'char *s = "a" __FUNCTION__;',
        '"a" __FUNCTION__',
        "__FUNCTION__",
    ],
)
def test_function_name_that_is_no_part_of_a_format_stays(text: str, workspace: Workspace) -> None:
    assert transform("function-name-argument", text, workspace) == (text, 0)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("{ ((char *) p)++; }", "{ p = (void *) ((char *) p + 1); }"),
        ("; ((char *) p) += n;", "; p = (void *) ((char *) p + n);"),
        ("} ((char *)p) += sizeof(x);", "} p = (void *) ((char *)p + (sizeof(x)));"),
        ("; ((char *) p) += a ? 1 : 2;", "; p = (void *) ((char *) p + (a ? 1 : 2));"),
        ("; ((char *) p) += f(1, 2);", "; p = (void *) ((char *) p + (f(1, 2)));"),
    ],
)
def test_cast_that_is_assigned_to_becomes_an_assignment(before: str, after: str, workspace: Workspace) -> None:
    assert transform("assign-instead-of-lvalue-cast", before, workspace) == (after, 1)


@pytest.mark.parametrize(
    "text",
    [
        "; ((char *) p)++, q = 1;",
        "; ((char *) p) += n, q = 1;",
        "; ((char *) p) += ({ int a = 1; a; });",
        "; x = ((char *) p) + 1;",
        "; ((char *) p)->field++;",
        "; ((char *) p)--;",
        "; (p)++;",
        "; ((p))++;",
        "; ((char *) p) +=",
        "; ((char *) p)++",
    ],
)
def test_other_statements_with_casts_stay(text: str, workspace: Workspace) -> None:
    assert transform("assign-instead-of-lvalue-cast", text, workspace) == (text, 0)
