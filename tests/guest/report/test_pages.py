"""Pages as a browser lays them out: on a phone and on a wide screen, in the dark."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lab.report.grid import OUTCOMES, GridCell, grid
from lab.report.html import grid_page, page, pair_page
from tests.guest.report.browser import look
from tests.unit.report.runs import HOSTILE, Event, bad_run, good_run, sample, seen, whole_test
from tests.unit.report.test_grid import cell

WIDTHS = (360, 1280)
LONG = "a_name_that_nobody_can_pronounce_and_no_line_of_a_phone_can_hold_" * 3
OWNED = "<script>document.title = 'owned'</script><img src=x onerror=\"document.title = 'owned'\">"


def _several() -> list[Event]:
    return [{**event, "worker": worker} for worker in ("gw0", "gw1") for event in bad_run()]


def _many() -> list[Event]:
    return [
        event
        for number in range(40)
        for event in [*whole_test(2.5 * number, f"n{number}"), sample(2.5 * number + 0.5, used=100 * number)]
    ]


def _long() -> list[Event]:
    failed = whole_test(1.0, LONG, result="failed", verdict="failed", why=LONG * 3, trace=LONG * 3)
    return [{"t": 0.0, "kind": "run", "repeat": f"kvmd-lab run {LONG}", "began": ""}, sample(1.5), *failed]


def _cells() -> list[GridCell]:
    return [
        cell(f"2.3.99-pre{number}", f"{LONG}{row}", outcome, number % 2 + 1, reason=LONG, run=f"runs/{number}")
        for number in range(1, 10)
        for row, outcome in enumerate(OUTCOMES)
    ]


RUNS: dict[str, Callable[[], list[Event]]] = {
    "empty": list,
    "good": good_run,
    "bad": bad_run,
    "hostile": lambda: bad_run(HOSTILE + OWNED),
    "several": _several,
    "many": _many,
    "long": _long,
}
CASES = [f"{name} {width}" for name in [*RUNS, "grid", "pair"] for width in WIDTHS]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    pages = {name: page(seen(make())) for name, make in RUNS.items()}
    pages["grid"] = grid_page(grid(_cells()))
    pages["pair"] = pair_page(LONG, [LONG], [LONG], [("one", seen(good_run())), (LONG, seen(bad_run()))])
    return look(tmp_path_factory.mktemp("pages"), pages, WIDTHS)


@pytest.mark.parametrize("case", CASES)
def test_nothing_makes_the_page_scroll_sideways(case: str, found: dict[str, dict[str, Any]]) -> None:
    one = found[case]
    assert one["viewport"] == int(case.split()[1])
    assert (one["width"], one["outside"]) == (one["viewport"], [])


@pytest.mark.parametrize("case", CASES)
def test_texts_of_a_picture_stand_apart_and_inside_of_it(case: str, found: dict[str, dict[str, Any]]) -> None:
    one = found[case]
    assert (one["hits"], one["beyond"]) == ([], [])
    assert one["smallest"] >= 10


@pytest.mark.parametrize("case", CASES)
def test_picture_for_the_width_is_shown_alone(case: str, found: dict[str, dict[str, Any]]) -> None:
    size = "narrow" if case.endswith(" 360") or case.startswith("pair") else "wide"
    assert set(found[case]["pictures"]) <= {f"picture {size}"}
    assert bool(found[case]["pictures"]) == (not case.startswith(("empty", "grid")))


@pytest.mark.parametrize("case", CASES)
def test_boxes_that_scroll_are_reached_by_keyboard(case: str, found: dict[str, dict[str, Any]]) -> None:
    assert found[case]["unreachable"] == []
    assert found[case]["scrolls"] > 0 or not case.startswith("long")


@pytest.mark.parametrize("width", WIDTHS)
def test_script_on_the_console_does_not_run(width: int, found: dict[str, dict[str, Any]]) -> None:
    one = found[f"hostile {width}"]
    assert (one["title"], one["scripts"]) == ("✗ failed: Linux 2.3.99-pre3, a-run, kvmd-lab", 0)


def test_page_is_dark_where_that_is_wanted(found: dict[str, dict[str, Any]]) -> None:
    assert {one["back"] for one in found.values()} == {"rgb(13, 17, 23)"}
