from __future__ import annotations

import pytest

from lab.port.ctokens import body, find, matching, outline, solid, tokens
from tests.unit.port.toyport import TOY_TREE, soup


def kinds(text: str) -> list[tuple[str, str]]:
    return [(token.kind, token.text) for token in solid(tokens(text))]


def test_random_pieces_cut_and_joined_give_the_text_back() -> None:
    for seed in range(300):
        text = soup(seed)
        stream = tokens(text)
        assert "".join(token.text for token in stream) == text, f"seed {seed}"
        assert [token.start for token in stream[1:]] == [token.end for token in stream[:-1]], f"seed {seed}"


def test_every_file_of_the_toy_tree_cut_and_joined_stays() -> None:
    for path in TOY_TREE.rglob("*.[chS]"):
        text = path.read_text(encoding="latin-1")
        assert "".join(token.text for token in tokens(text)) == text, path


def test_string_over_a_line_end_is_one_token() -> None:
    assert kinds('x = "a\nb";') == [("name", "x"), ("mark", "="), ("string", '"a\nb"'), ("mark", ";")]


@pytest.mark.parametrize("comment", ['/* a " quote */', "/* don't */", '// a " quote', "// don't"])
def test_quote_in_a_comment_opens_no_string(comment: str) -> None:
    assert kinds(f'{comment}\n"s"') == [("string", '"s"')]


def test_comment_sign_in_a_string_opens_no_comment() -> None:
    assert kinds('"/*" x "*/"') == [("string", '"/*"'), ("name", "x"), ("string", '"*/"')]


@pytest.mark.parametrize("constant", ["'\"'", "'\\''", "'\\\\'", "'ab'"])
def test_character_constant_is_one_token_and_opens_no_string(constant: str) -> None:
    assert kinds(f'{constant} "s"') == [("char", constant), ("string", '"s"')]


@pytest.mark.parametrize(
    "line", ["#error don't", '#  error "half', '   #error "half', "\t# warning it's \\\n  late \""]
)
def test_free_text_of_a_directive_opens_no_constant(line: str) -> None:
    assert [kind for kind, _ in kinds(f'int a;\n{line}\n"s"')][-2:] == ["free", "string"]


def test_escaped_quote_does_not_end_a_string() -> None:
    assert kinds(r'"a\"b\\" c') == [("string", r'"a\"b\\"'), ("name", "c")]


def test_pattern_found_whatever_white_space_and_comments_stand_between() -> None:
    text = "f ( /* one */ 1,\n\t2 );  f(1,2)"
    assert [text[start:end] for start, end in find(tokens(text), "f(1, 2)")] == ["f ( /* one */ 1,\n\t2 )", "f(1,2)"]


def test_pattern_in_comments_and_strings_is_not_found() -> None:
    assert find(tokens('/* f(1) */ "f(1)" // f(1)'), "f(1)") == []


def test_pattern_that_follows_itself_is_found_without_overlap() -> None:
    assert find(tokens("a a a a a"), "a a") == [(0, 3), (4, 7)]


def test_empty_pattern_is_found_nowhere() -> None:
    assert find(tokens("a b"), " /* nothing */ ") == []


def test_bracket_that_nothing_closes_matches_the_end() -> None:
    have = solid(tokens("( a ( b )"))
    assert matching(have, 0) == len(have)
    assert matching(have, 2) == 4


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("a\n#define M(x) /* one\n two */ b \\\n c\nd # e\n  #error don't \"\n/* x */ #if f\ng", "a d # e g"),
        ("/* first\n # no directive */ a;", "a ;"),
        ("int f(void) { if (a) { b(); } }\nint c;", "int f ( void ) { } int c ;"),
        ("int a = '{'; char *b = \"{\"; /* { */ int c;", "int a = '{' ; char * b = \"{\" ; int c ;"),
        ("f { \"}\" '}' /* } */ }\n#define x }\ng", "f { } g"),
        ("a } b { c", "a } b {"),
    ],
)
def test_outline_leaves_what_stands_outside_braces_where_it_stood(text: str, left: str) -> None:
    have = solid(tokens(outline(text)))
    assert " ".join(token.text for token in have) == left
    assert [text[token.start : token.end] for token in have] == left.split(" ")


def test_body_of_a_function_reaches_from_its_name_to_its_brace() -> None:
    text = "int f(int a);\nint g(void) { f(1); }\nint f(int a)\n{ if (a) { g(); } }\nint h;"
    span = body(text, "f")
    assert span is not None
    assert text[span[0] : span[1]] == "f(int a)\n{ if (a) { g(); } }"


def test_body_of_a_macro_reaches_over_continued_lines() -> None:
    text = "#define f(x) \\\n\tx + \\\n\t1\nint f2;"
    span = body(text, "f")
    assert span is not None
    assert text[span[0] : span[1]] == "#define f(x) \\\n\tx + \\\n\t1"


@pytest.mark.parametrize("text", ["", "int f(int a);", "int ff(void) { }", "#define ff 1", "f(", "f"])
def test_body_of_what_is_only_declared_is_none(text: str) -> None:
    assert body(text, "f") is None
