"""Named transforms: what a change of places cannot say. Each turns a text into a text and a number of places."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from lab.port.ctokens import Token, matching, solid, tokens
from lab.port.workspace import Workspace

Transform = Callable[[str, Workspace, Mapping[str, str]], tuple[str, int]]

REGPARM = "__attribute__((regparm(3)))"

# A line with an odd number of quotation marks: cheap to look for, and every literal over a line end begins on one.
_ODD_QUOTES = re.compile(r'^[^"\n]*"(?:[^"\n]*"[^"\n]*")*[^"\n]*$', re.MULTILINE)
_PROMISE = re.compile(r"^(?![ \t]*#).*?\bFASTCALL\([^;{]*?\b(\w+)\s*\(", re.MULTILINE)
_DIRECTIVE = re.compile(r"^[ \t]*#(?:\\\n|[^\n])*", re.MULTILINE)
_CONVERSION = re.compile(r"%(?!%)")
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
    have = solid(tokens(_DIRECTIVE.sub(lambda match: " " * len(match.group()), text)))
    places = [
        start
        for index in _top_level(have)
        if have[index].text in names and (start := _bare_declaration(have, index)) is not None
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


def _top_level(have: list[Token]) -> list[int]:
    """Indices of the tokens outside every brace; `extern "C"` is not a thing in these sources."""
    indices = []
    index = 0
    while index < len(have):
        if have[index].text == "{":
            index = matching(have, index)
        else:
            indices.append(index)
        index += 1
    return indices


def _bare_declaration(have: list[Token], index: int) -> int | None:
    """Return where the declaration of the function named at `index` begins, if it lacks the attribute."""
    if index + 1 >= len(have) or have[index + 1].text != "(":
        return None
    close = matching(have, index + 1)
    if close + 1 >= len(have) or have[close + 1].text not in "{;":
        return None
    begin = index
    while begin > 0 and _belongs(have[begin - 1], have[begin]):
        begin -= 1
    words = {token.text for token in have[begin:index]}
    if begin == index or words & {"FASTCALL", "regparm", "("}:
        return None
    return have[begin].start


def _belongs(token: Token, following: Token) -> bool:
    """Whether `token` is part of the specifiers in front of `following`."""
    return (token.kind == "name" or token.text in "*()") and token.end <= following.start


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
    for index in range(1, len(have) - 1):
        if have[index].text == "__FUNCTION__" and "string" in (have[index - 1].kind, have[index + 1].kind):
            begin = index
            while have[begin - 1].kind in ("string", "name"):
                begin -= 1
            before = "".join(token.text for token in have[begin:index] if token.kind == "string")
            at = _argument_end(have, begin, len(_CONVERSION.findall(before)))
            name = have[index]
            return f'{text[: name.start]}"%s"{text[name.end : at]}, __FUNCTION__{text[at:]}'
    return None


def _argument_end(have: list[Token], begin: int, skip: int) -> int:
    """Return the offset behind the argument that begins at token `begin`, and behind `skip` further ones."""
    index = begin
    while have[index].text != ")":
        if have[index].text == ",":
            if skip == 0:
                break
            skip -= 1
        index = (matching(have, index) if have[index].text in "([{" else index) + 1
    return have[index - 1].end


def assign_instead_of_lvalue_cast(text: str, _workspace: Workspace, _options: Mapping[str, str]) -> tuple[str, int]:
    """Turn the statements `((T) p)++;` and `((T) p) += n;` into assignments to p of the same value."""
    have = solid(tokens(text))
    edits = [edit for index in range(len(have)) if (edit := _lvalue_cast(text, have, index)) is not None]
    for start, end, fresh in reversed(edits):
        text = text[:start] + fresh + text[end:]
    return text, len(edits)


def _lvalue_cast(text: str, have: list[Token], index: int) -> tuple[int, int, str] | None:
    words = [token.text for token in have[index : index + 2]]
    if words != ["(", "("] or have[index - 1].text not in ";{}":
        return None
    outer = matching(have, index)
    if outer + 1 >= len(have) or have[outer - 1].kind != "name" or have[outer - 2].text != ")":
        return None
    operator = have[outer + 1].text
    end = next(at for at in range(outer, len(have)) if have[at].text == ";")
    if operator not in ("++", "+="):
        return None
    amount = "1" if operator == "++" else text[have[outer + 2].start : have[end - 1].end]
    cast = text[have[index].end : have[outer].start]
    name = have[outer - 1].text
    return have[index].start, have[end - 1].end, f"{name} = (void *) ({cast} + {amount})"


NAMED: dict[str, Transform] = {
    "join-strings": join_strings,
    "regparm-definitions": regparm_definitions,
    "function-name-argument": function_name_argument,
    "assign-instead-of-lvalue-cast": assign_instead_of_lvalue_cast,
}
