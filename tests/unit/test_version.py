from __future__ import annotations

import itertools

import pytest

from lab.errors import UsageError
from lab.version import KernelVersion, VersionRange

IN_ORDER = [
    "2.2.14",
    "2.3.9",
    "2.3.51",
    "2.3.99-pre1",
    "2.3.99-pre9",
    "2.3.99-pre10",
    "2.3.99",
    "2.4.0-test1",
    "2.4.0-test9",
    "2.4.0-test10-pre3",
    "2.4.0-test10",
    "2.4.0-test12",
    "2.4.0-rc1",
    "2.4.0-prerelease",
    "2.4.0",
    "2.4.1-pre1",
    "2.4.1",
    "6.1",
    "6.1.1",
]


def test_versions_sort_in_the_order_in_which_the_kernels_appeared() -> None:
    for earlier, later in itertools.combinations(IN_ORDER, 2):
        assert KernelVersion(earlier) < KernelVersion(later), f"{earlier} {later}"
        assert KernelVersion(later) > KernelVersion(earlier), f"{earlier} {later}"
        assert KernelVersion(earlier) != KernelVersion(later), f"{earlier} {later}"


def test_same_version_spelt_otherwise_is_equal_and_one_key() -> None:
    assert KernelVersion("6.1") == KernelVersion("6.1.0")
    assert len({KernelVersion("6.1"), KernelVersion("6.1.0")}) == 1
    assert str(KernelVersion("6.1")) == "6.1"


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("2.3.99-pre3-mine", "2.3.99-pre3"),
        ("2.4.0-testing", "2.4.0"),
        ("6.1.0-18-amd64", "6.1"),
        ("2.6.32.71", "2.6.32"),
        ("2.4.0-test10pre3", "2.4.0-test10-pre3"),
    ],
)
def test_ending_of_somebody_s_own_does_not_change_the_place(text: str, same: str) -> None:
    assert KernelVersion(text) == KernelVersion(same)


def test_version_is_not_its_text() -> None:
    assert KernelVersion("2.4.0") != "2.4.0"


@pytest.mark.parametrize("text", ["", "2", "two", "v2.3.99", "2.3.99pre3", "2.3.99-pre3x", "2.3.9 ", " 2.3.9", "2.3.x"])
def test_text_that_is_no_version_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="is not a kernel version"):
        KernelVersion(text)


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("all", ["2.2.14", "6.1"], []),
        (">=2.3.99-pre1,<2.4.0", ["2.3.99-pre1", "2.3.99-pre3", "2.4.0-test12"], ["2.3.51", "2.4.0"]),
        ("<= 2.3.99-pre3 , > 2.3.51", ["2.3.99-pre3", "2.3.99-pre1"], ["2.3.99-pre4", "2.3.51"]),
        ("==2.3.99-pre3", ["2.3.99-pre3"], ["2.3.99-pre2", "2.3.99"]),
        (">2.3.99-pre3,!=2.3.99-pre5", ["2.3.99-pre4", "2.3.99-pre6"], ["2.3.99-pre3", "2.3.99-pre5"]),
        (">2.4.0,<2.4.0", [], ["2.4.0", "2.4.0-test1"]),
    ],
)
def test_range_holds_what_all_its_terms_hold(text: str, inside: list[str], outside: list[str]) -> None:
    wanted = VersionRange(text)
    assert [name for name in inside + outside if KernelVersion(name) in wanted] == inside


@pytest.mark.parametrize("text", ["", "2.4.0", ">=", ">=2.4.0,", "=>2.4.0", ">=two", ">=2.3.1 2.3.2"])
def test_text_that_is_no_range_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError):
        VersionRange(text)
