"""C text as tokens that lose nothing: joined again they give the text back.

Knows comments, character constants, string literals (also those that run over a line end, which compilers took until
gcc 3.2), preprocessor lines that hold free text (#error don't), and identifiers. Not a parser.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

_TOKEN = re.compile(
    r"""
      (?P<comment>/\*.*?\*/|//[^\n]*)
    | (?P<free>^[ \t]*\#[ \t]*(?:error|warning)\b(?:\\\n|[^\n])*)
    | (?P<string>"(?:[^"\\]|\\.)*")
    | (?P<char>'(?:[^'\\\n]|\\[^\n])+')
    | (?P<space>\s*\n|[^\S\n]+|\\\n)
    | (?P<name>[A-Za-z_]\w*)
    | (?P<number>\.?\d(?:[eEpP][+-]|[\w.])*)
    | (?P<mark>\#\#|->|\+\+|--|<<=|>>=|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^]=|\.\.\.|.)
    """,
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)
# As little as is needed to see what stands outside every brace; each begins with a character of its own, which makes
# the search fast.
_COARSE = re.compile(r"""/\*.*?\*/|//[^\n]*|"(?:[^"\\]|\\.)*"|'(?:[^'\\\n]|\\[^\n])+'|[{}#]""", re.DOTALL)
_DIRECTIVE = re.compile(r"\#(?:\\\n|/\*.*?\*/|[^\n])*", re.DOTALL)
BLANK = frozenset({"space", "comment"})


class Token(NamedTuple):
    """A piece of the text: its kind (a group name of the pattern), its text, and where it begins (characters)."""

    kind: str
    text: str
    start: int

    @property
    def end(self) -> int:
        """The offset behind the last character."""
        return self.start + len(self.text)


def tokens(text: str) -> list[Token]:
    """Cut `text` into tokens without a gap."""
    return [Token(match.lastgroup or "mark", match.group(), match.start()) for match in _TOKEN.finditer(text)]


def solid(stream: Sequence[Token]) -> list[Token]:
    """Leave out white space and comments."""
    return [token for token in stream if token.kind not in BLANK]


def outline(text: str) -> str:
    """Blank out comments, preprocessor lines (with those that continue them) and what stands inside braces.

    What is left, at the same offsets, is what stands outside every brace, and the outermost braces themselves.
    """
    pieces = []
    depth = done = 0
    fresh = True  # nothing but blanks and comments since the line began
    while match := _COARSE.search(text, done):
        gap, word = text[done : match.start()], match.group()
        fresh = (fresh or "\n" in gap) and not gap[gap.rfind("\n") + 1 :].strip()
        if word == "#" and fresh and (directive := _DIRECTIVE.match(text, match.start())):
            word = directive.group()
        pieces.append(_blank(gap, depth))
        depth -= word == "}" and depth > 0
        shown = word[0] in "{}\"'" or word == "#"
        pieces.append(_blank(word, depth + (not shown)))
        depth += word == "{"
        fresh = fresh and word[0] == "/"
        done = match.start() + len(word)
    return "".join([*pieces, _blank(text[done:], depth)])


def _blank(text: str, depth: int) -> str:
    return " " * len(text) if depth else text


def find(stream: Sequence[Token], pattern: str) -> list[tuple[int, int]]:
    """Find every run of tokens that reads as `pattern`, white space and comments aside.

    Returns character ranges (start, end) in the order of the text; they do not overlap.
    """
    have = solid(stream)
    words = [token.text for token in have]
    want = [token.text for token in solid(tokens(pattern))]
    found = []
    index = 0
    while want and index + len(want) <= len(words):
        if words[index] == want[0] and words[index : index + len(want)] == want:
            found.append((have[index].start, have[index + len(want) - 1].end))
            index += len(want)
        else:
            index += 1
    return found


def matching(have: Sequence[Token], index: int) -> int:
    """Return the index of the bracket that closes the one at `index`; the stream's length when nothing does."""
    opening = have[index].text
    closing = {"(": ")", "{": "}", "[": "]"}[opening]
    depth = 0
    for at in range(index, len(have)):
        if have[at].text == opening:
            depth += 1
        elif have[at].text == closing:
            depth -= 1
            if depth == 0:
                return at
    return len(have)


def body(text: str, name: str) -> tuple[int, int] | None:
    """Find the function definition or the object-like or function-like macro called `name`.

    Returns the character range from the name to the closing brace (to the end of the directive for a macro), or None.
    """
    macro = re.search(rf"^[ \t]*#[ \t]*define[ \t]+{re.escape(name)}\b(?:\\\n|[^\n])*", text, re.MULTILINE)
    if macro is not None:
        return macro.span()
    have = solid(tokens(outline(text)))
    for index, token in enumerate(have[:-1]):
        if token.text != name or have[index + 1].text != "(":
            continue
        close = matching(have, index + 1)
        if close + 1 < len(have) and have[close + 1].text == "{":
            end = matching(have, close + 1)
            return token.start, have[min(end, len(have) - 1)].end
    return None
