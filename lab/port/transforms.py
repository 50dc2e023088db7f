"""Named transforms: what a change of places cannot say. Each turns a text into a text and a number of places."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from lab.port.ctokens import Token, matching, outline, solid, tokens
from lab.port.workspace import Workspace

Transform = Callable[[str, Workspace, Mapping[str, str]], tuple[str, int]]

REGPARM = "__attribute__((regparm(3)))"

# A line with an odd number of quotation marks: cheap to look for, and every literal over a line end begins on one.
_ODD_QUOTES = re.compile(r'^[^"\n]*"(?:[^"\n]*"[^"\n]*")*[^"\n]*$', re.MULTILINE)
_PROMISE = re.compile(r"^(?![ \t]*#).*?\bFASTCALL\([^;{]*?\b(\w+)\s*\(", re.MULTILINE)
_CONVERSION = re.compile(r"%(?:%|[^%a-zA-Z]*[a-zA-Z])")
_RAW_LINE_END = re.compile(r"(?<!\\)((?:\\\\)*)\n")


def join_strings(text: str, _workspace: Workspace, _options: Mapping[str, str]) -> tuple[str, int]:
    """Give string literals that run over a line end the escapes that say so; the value of the literal stays."""
    if _ODD_QUOTES.search(text) is None:
        return text, 0
    pieces = []
    places = 0
    for token in tokens(text):
        joined = token.text
        if token.kind == "string":
            joined = _RAW_LINE_END.sub(r"\1\\n\\\n", joined)
        places += joined != token.text
        pieces.append(joined)
    return "".join(pieces), places


def regparm_definitions(text: str, workspace: Workspace, options: Mapping[str, str]) -> tuple[str, int]:
    """Give the attribute that FASTCALL in a header of `options["headers"]` promised to definitions and prototypes.

    Every top-level declaration of such a function that carries neither FASTCALL nor regparm gets it in front.
    """
    names = _promised(workspace, options["headers"]) | _promised_in(text)
    if not any(name in text for name in names):
        return text, 0
    have = solid(tokens(outline(text)))
    places = [
        start
        for index, token in enumerate(have)
        if token.text in names and (start := _bare_declaration(have, index)) is not None
    ]
    for start in reversed(places):
        text = f"{text[:start]}{REGPARM} {text[start:]}"
    return text, len(places)


def _promised(workspace: Workspace, headers: str) -> frozenset[str]:
    """Names of the functions that some header declares with FASTCALL."""
    if headers not in workspace.memo:
        paths = workspace.files(tuple(headers.split()))
        workspace.memo[headers] = frozenset(name for path in paths for name in _promised_in(workspace.read(path)))
    return workspace.memo[headers]


def _promised_in(text: str) -> frozenset[str]:
    if "FASTCALL(" not in text:
        return frozenset()
    return frozenset(match[1] for match in _PROMISE.finditer(text))


def _bare_declaration(have: list[Token], index: int) -> int | None:
    """Return where the declaration of the function named at `index` begins, if it lacks the attribute."""
    if index + 1 >= len(have) or have[index + 1].text != "(":
        return None
    close = matching(have, index + 1)
    if close + 1 >= len(have) or have[close + 1].text not in "{;":
        return None
    begin = _specifiers(have, index)
    if begin is None or begin == index:
        return None
    words = {token.text for token in have[begin:index]}
    return None if words & {"FASTCALL", "regparm"} else have[begin].start


def _specifiers(have: list[Token], index: int) -> int | None:
    """Return where the type and the attributes in front of `index` begin; None if other brackets are among them."""
    begin = index
    while begin > 0:
        before = have[begin - 1]
        if before.text == ")":
            opening = _opening(have, begin - 1)
            if opening == 0 or have[opening - 1].text != "__attribute__":
                return None
            begin = opening - 1
        elif before.kind == "name" or before.text == "*":
            begin -= 1
        else:
            break
    return begin


def _opening(have: list[Token], index: int) -> int:
    """Return the index of the bracket that the one at `index` closes; 0 when nothing does."""
    depth = 0
    for at in range(index, 0, -1):
        depth += (have[at].text == ")") - (have[at].text == "(")
        if depth == 0:
            return at
    return 0


def function_name_argument(text: str, _workspace: Workspace, _options: Mapping[str, str]) -> tuple[str, int]:
    """Turn __FUNCTION__ among concatenated literals of a format into "%s" and an argument of its own.

    The argument goes behind those of the conversions that stand before it in the format.
    """
    places = 0
    while (step := _next_function_name(text)) is not None:
        text = step
        places += 1
    return text, places


def _next_function_name(text: str) -> str | None:
    have = solid(tokens(text)) if "__FUNCTION__" in text else []
    for index, name in enumerate(have):
        if name.text != "__FUNCTION__" or not _is_concatenated(have, index):
            continue
        begin = index
        while begin > 0 and have[begin - 1].kind in ("string", "name"):
            begin -= 1
        before = "".join(token.text for token in have[begin:index] if token.kind == "string")
        at = _argument_end(have, begin, _arguments(before))
        if at is not None:
            return f'{text[: name.start]}"%s"{text[name.end : at]}, __FUNCTION__{text[at:]}'
    return None


def _is_concatenated(have: list[Token], index: int) -> bool:
    return "string" in [token.kind for token in (*have[max(index - 1, 0) : index], *have[index + 1 : index + 2])]


def _arguments(form: str) -> int:
    """How many arguments a format takes: one a conversion, one more for each width that is given as an argument."""
    found = [match.group() for match in _CONVERSION.finditer(form) if match.group() != "%%"]
    return len(found) + sum(conversion.count("*") for conversion in found)


def _argument_end(have: list[Token], begin: int, skip: int) -> int | None:
    """Return the offset behind the argument that begins at token `begin`, and behind `skip` further ones.

    None if no list of arguments closes there.
    """
    index = begin
    while index < len(have) and have[index].text not in (")", ";", "}"):
        if have[index].text == ",":
            if skip == 0:
                return have[index - 1].end
            skip -= 1
        index = (matching(have, index) if have[index].text in ("(", "[", "{") else index) + 1
    return have[index - 1].end if index < len(have) and have[index].text == ")" else None


def assign_instead_of_lvalue_cast(text: str, _workspace: Workspace, _options: Mapping[str, str]) -> tuple[str, int]:
    """Turn the statements `((T) p)++;` and `((T) p) += n;` into assignments to p of the same value."""
    have = solid(tokens(text))
    edits = [edit for index in range(1, len(have)) if (edit := _lvalue_cast(text, have, index)) is not None]
    for start, end, fresh in reversed(edits):
        text = text[:start] + fresh + text[end:]
    return text, len(edits)


def _lvalue_cast(text: str, have: list[Token], index: int) -> tuple[int, int, str] | None:
    words = [token.text for token in have[index : index + 2]]
    if words != ["(", "("] or have[index - 1].text not in (";", "{", "}"):
        return None
    outer = matching(have, index)
    if matching(have, index + 1) != outer - 2 or have[outer - 1].kind != "name":
        return None
    amount = _amount(text, have[outer + 1 :])
    if amount is None:
        return None
    end = next(at for at in range(outer, len(have)) if have[at].text == ";")
    cast = text[have[index].end : have[outer].start]
    return have[index].start, have[end - 1].end, f"{have[outer - 1].text} = (void *) ({cast} + {amount})"


def _amount(text: str, rest: list[Token]) -> str | None:
    """What is added by `++;` or `+= n;` at the head of `rest`; None for anything else, a comma expression too."""
    words = [token.text for token in rest]
    if words[:2] == ["++", ";"]:
        return "1"
    if words[:1] != ["+="] or ";" not in words:
        return None
    added = rest[1 : words.index(";")]
    if not added or "{" in words[: len(added) + 1] or _has_comma(added):
        return None
    amount = text[added[0].start : added[-1].end]
    return amount if len(added) == 1 else f"({amount})"


def _has_comma(have: list[Token]) -> bool:
    """Whether a comma stands outside every bracket."""
    index = 0
    while index < len(have) and have[index].text != ",":
        index = (matching(have, index) if have[index].text in ("(", "[") else index) + 1
    return index < len(have)


NAMED: dict[str, Transform] = {
    "join-strings": join_strings,
    "regparm-definitions": regparm_definitions,
    "function-name-argument": function_name_argument,
    "assign-instead-of-lvalue-cast": assign_instead_of_lvalue_cast,
}
