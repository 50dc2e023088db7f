"""The same thing has the same name in every sub-command, and is said in the same words."""

from __future__ import annotations

from collections import defaultdict

import pytest

from lab import resources
from lab.cli import moved, reference
from lab.cli.options import Size, Source
from tests.unit.cli.calls import Call

# What takes several values in a sub-command for many kernels or mutants, and one in all others.
SEVERAL = {"--kernel", "--cpus", "--ram", "--swap", "--mutant", "SCENARIO"}
TREE = {"--kernel", "--tree", "--as", "--sha256", "--accept-changed"}


def test_table_in_the_docs_is_the_command_lines() -> None:
    path = resources.package().parent / "docs" / "options.md"
    assert path.read_text(encoding="utf-8") == reference.page(), "python -m lab.cli.reference >docs/options.md"


def test_a_name_says_one_thing() -> None:
    meanings: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for option in reference.options():
        meanings[option.name].add((option.takes, option.meaning))
    assert {name for name, found in meanings.items() if len(found) > 1} == SEVERAL
    assert all(len(found) <= 2 for found in meanings.values())


def test_a_thing_has_one_name() -> None:
    names: dict[str, set[str]] = defaultdict(set)
    for option in reference.options():
        names[option.meaning].add(option.name)
    assert {meaning: found for meaning, found in names.items() if len(found) > 1} == {
        "Only this one; repeatable.": {"--mutant", "--figure"}
    }


def test_every_sub_command_that_takes_a_tree_takes_all_that_says_which() -> None:
    commands: dict[str, set[str]] = defaultdict(set)
    for option, found in reference.options().items():
        if option.name in TREE and option.takes != "EXPR":
            for command in found:
                commands[command].add(option.name)
    assert set(commands) >= {"fetch", "build", "run", "demo", "mutants"}
    assert all(found == TREE for found in commands.values())


@pytest.mark.parametrize(("command", "option", "today"), [(*old, new) for old, new in moved.OPTIONS.items()])
def test_old_spelling_is_refused_with_the_new_one(call: Call, command: str, option: str, today: str) -> None:
    done = call(command, option, "1")
    assert done.returncode == 2
    assert done.stderr.endswith(f"  try: {today}\n")
    known = {name for option, found in reference.options().items() if command in found for name in [option.name]}
    assert option not in known
    assert not today.startswith("--") or today.split()[0] in known


def test_old_name_of_a_sub_command_is_refused_with_the_new_one(call: Call) -> None:
    assert {call(old).stderr.splitlines()[-1] for old in moved.COMMANDS} == {"  try: kvmd-lab mutants"}


@pytest.mark.parametrize("command", sorted(moved.NAMED_A_KERNEL))
def test_kernel_without_its_option_is_refused_with_it(call: Call, command: str) -> None:
    done = call(command, "2.3.99-pre3")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (2, "  try: --kernel 2.3.99-pre3")


@pytest.mark.parametrize(
    "words",
    [
        ("run", "--cpus", "0"),
        ("run", "--ram", "3"),
        ("boot", "--swap", "2048"),
        ("image", "--swap", "0"),
        ("matrix", "--cpus", "1,9"),
        ("matrix", "--swap", "0"),
        ("mutants", "--cpus", "9"),
    ],
)
def test_size_that_no_machine_has_is_refused_before_anything_is_made(call: Call, words: tuple[str, ...]) -> None:
    done = call(*words)
    assert done.returncode == 2
    assert words[1] in done.stderr
    assert not call.cache.exists()
    assert not call.runs.exists()


def test_bundles_hand_on_what_was_given() -> None:
    assert Size(cpus=2, swap=7).given == {"cpus": 2, "swap_mib": 7}
    assert Size(cpus=2, swap=7).words == ["--cpus=2", "--swap=7"]
    subject = Source(kernel="2.4.0", accept_changed=True).subject(cc="gcc-11", checks=False)
    assert (subject.name, subject.accept_changed, subject.cc, subject.checks) == ("2.4.0", True, "gcc-11", False)
