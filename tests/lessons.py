"""Run a lesson of `docs/lessons/` as its reader would: its commands, and its Python in `kvmd-lab shell`."""

from __future__ import annotations

import doctest
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

LESSONS = sorted((Path(__file__).parents[1] / "docs" / "lessons").glob("[0-9]*.md"))
_BLOCK = re.compile(r"^```(console|pycon)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PROMPTS = re.compile(r"\A(?:>>> |\.\.\. )+|(?:>>> |\.\.\. )+\Z")
_HOW = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
_SECONDS = 1500.0


def walk(lesson: Path, environment: Mapping[str, str]) -> int:
    """Run all of a lesson and return the number of things tried; an AssertionError tells what came out otherwise."""
    tried = 0
    blocks = _BLOCK.findall(lesson.read_text())
    for number, (kind, text) in enumerate(blocks):
        if kind == "pycon":
            continue
        command, _, want = text.removeprefix("$ ").partition("\n")
        python = "".join(text for _, text in _following(blocks[number + 1 :]))
        examples = doctest.DocTestParser().get_examples(python)
        said = _call(command, _source(examples), environment)
        if examples:
            _compare_all(examples, said)
        else:
            _compare(command, want, said)
        tried += max(1, len(examples))
    return tried


def _following(blocks: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The Python blocks before the next command."""
    ends = [number for number, (kind, _) in enumerate(blocks) if kind == "console"]
    return blocks[: ends[0]] if ends else blocks


def _source(examples: list[doctest.Example]) -> str:
    """What is typed at the prompt: after each example a line that shows where the next one's output begins."""
    typed = (f"{example.source}\nprint('<<{number}>>')\n" for number, example in enumerate(examples))
    return "".join(typed)


def _call(command: str, stdin: str, environment: Mapping[str, str]) -> str:
    """Run a command in a shell, so that $KERNEL and the like mean something; return all that it says."""
    program = f"{shlex.quote(sys.executable)} -m lab "
    assert command.startswith("kvmd-lab "), command
    done = subprocess.run(
        ["sh", "-c", program + command.removeprefix("kvmd-lab ")],
        input=stdin,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=_SECONDS,
    )
    return done.stdout


def _compare_all(examples: list[doctest.Example], said: str) -> None:
    _, banner, rest = said.partition("Ctrl-D ends it.\n")
    assert banner, said
    for number, example in enumerate(examples):
        got, mark, rest = rest.partition(f"<<{number}>>\n")
        assert mark, f"{example.source}{got}"
        _compare(example.source, example.want, _PROMPTS.sub("", got))


def _compare(what: str, want: str, got: str) -> None:
    assert doctest.OutputChecker().check_output(want, got, _HOW), f"{what}\nsaid\n{got}\nand not\n{want}"
