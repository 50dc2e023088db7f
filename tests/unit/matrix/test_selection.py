"""Which kernels an expression chooses."""

from __future__ import annotations

import pytest

from lab.errors import UsageError
from lab.matrix import select

NAMES = ["2.4.0", "2.3.99-pre1", "2.3.99-pre3", "2.3.99-pre3-1", "2.4.0-prerelease", "2.4.0-test9", "2.4.0-test10"]


@pytest.mark.parametrize(
    ("expression", "chosen"),
    [
        ("2.3.99-pre3", ["2.3.99-pre3"]),
        ("2.3.99-pre?", ["2.3.99-pre1", "2.3.99-pre3"]),
        ("2.3.99-pre1, >=2.4.0-test10", ["2.3.99-pre1", "2.4.0-test10", "2.4.0-prerelease", "2.4.0"]),
        (">=2.4.0-test9&<2.4.0-prerelease", ["2.4.0-test9", "2.4.0-test10"]),
        ("2.4.0*&!*test*", ["2.4.0-prerelease", "2.4.0"]),
        (">=2.4.0-test10&!=2.4.0-prerelease", ["2.4.0-test10", "2.4.0"]),
        ("2.4.0,2.4.0,2.4.0*&!2.4.0-*", ["2.4.0"]),
    ],
)
def test_chosen_in_the_order_of_their_versions(expression: str, chosen: list[str]) -> None:
    assert select(expression, NAMES) == chosen


def test_all_is_every_one_once() -> None:
    assert set(select("all", [*NAMES, *NAMES])) == set(NAMES)
    assert len(select("all", [*NAMES, *NAMES])) == len(NAMES)


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("", "empty"),
        ("2.3.99-pre77", "there is no kernel '2.3.99-pre77'"),
        ("!2.3.99-pre77", "there is no kernel '2.3.99-pre77'"),
        ("2.2.*", "no kernel is '2.2.*'"),
        (">2.4.0", "no kernel is '>2.4.0'"),
        ("2.3*,", "there is no kernel ''"),
        ("=>2.4.0", "is not a version range"),
    ],
)
def test_what_chooses_nothing_is_refused(expression: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        select(expression, NAMES)
    assert said in str(caught.value)
