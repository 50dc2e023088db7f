"""The grid of kernels and scenarios."""

from __future__ import annotations

import re

from lab.report.grid import MANY, MANY_NAMES, OUTCOMES, GridCell, Outcome, grid
from lab.report.html import grid_page
from tests.unit.report.outline import Outline
from tests.unit.report.runs import HOSTILE


def cell(
    kernel: str = "2.3.99-pre3",
    scenario: str = "tour",
    outcome: Outcome = "passed",
    cpus: int = 1,
    *,
    reason: str = "",
    run: str = "",
) -> GridCell:
    return GridCell(
        kernel=kernel,
        scenario=scenario,
        cpus=cpus,
        ram_mib=16,
        swap_mib=96,
        outcome=outcome,
        seconds=1.5,
        reason=reason,
        run=run,
    )


CELLS = [
    cell("2.4.0", run="runs/1"),
    cell("2.4.0-test1", outcome="failed", reason="an oops", run="runs/2"),
    cell("2.3.99-pre3", run="runs/3"),
    cell("mine", outcome="timeout", reason="120 s"),
    cell("2.3.99-pre3", "queue", cpus=2, outcome="impossible", reason="no SMP there"),
]


def test_kernels_stand_in_the_order_of_their_versions() -> None:
    found = grid(CELLS)
    assert found.kernels == [("2.3.99-pre3", 2), ("2.4.0-test1", 1), ("2.4.0", 1), ("mine", 1)]
    assert [found.label(column) for column in found.columns[:2]] == ["1 CPU", "2 CPUs"]
    assert found.common == "16 MiB of RAM, 96 MiB of swap"


def test_cell_stands_in_its_row_and_column() -> None:
    found = grid(CELLS)
    shape = [(name, [[one.run or one.outcome for one in cells] for cells in columns]) for name, columns in found.rows]
    assert shape == [
        ("tour", [["runs/3"], [], ["runs/2"], ["runs/1"], ["timeout"]]),
        ("queue", [[], ["impossible"], [], [], []]),
    ]


def test_cells_of_one_place_are_all_kept() -> None:
    ((_, (both,)),) = grid([cell(run="a"), cell(run="b", outcome="failed")]).rows
    assert [one.run for one in both] == ["a", "b"]


def test_same_reason_is_told_once_and_the_worst_come_first() -> None:
    cells = [cell(scenario=name, outcome="impossible", reason="no SMP") for name in ("a", "b")]
    found = grid([*cells, *CELLS]).reasons
    told = [(outcome, reason, [one.scenario for one in there]) for outcome, reason, there in found]
    assert told == [
        ("failed", "an oops", ["tour"]),
        ("timeout", "120 s", ["tour"]),
        ("impossible", "no SMP", ["a", "b"]),
        ("impossible", "no SMP there", ["queue"]),
    ]


def test_verdict_is_the_worst_and_counts_begin_with_it() -> None:
    assert grid(CELLS).counts == [("failed", 1), ("timeout", 1), ("passed", 2), ("impossible", 1)]
    assert (grid(CELLS).verdict, grid([]).verdict) == ("failed", "empty")


def test_cells_lead_to_their_runs_pages_and_say_their_outcome() -> None:
    outline = Outline(grid_page(grid(CELLS)))
    links = [attrs["href"] for tag, attrs in outline.elements if tag == "a" and attrs.get("class") == "cell"]
    assert links == ["runs/3/report.html", "runs/2/report.html", "runs/1/report.html"]
    words = " ".join(outline.words.split())
    assert all(word in words for word in ("✗ failed", "◔ timeout", "∅ impossible", "✓ passed", "not tried"))
    assert "an oops" in words


def test_too_many_cells_of_one_place_are_counted_with_the_way_to_the_first_of_each_outcome() -> None:
    many = [cell(run=f"good/{number}") for number in range(MANY)]
    bad = [cell(outcome="failed", reason="an oops", run=f"bad/{number}") for number in range(MANY_NAMES + 3)]
    outline = Outline(grid_page(grid([*many, cell(outcome="timeout", run="late"), *bad])))
    links = [attrs["href"] for tag, attrs in outline.elements if tag == "a" and attrs.get("class") == "cell"]
    assert links == ["bad/0/report.html", "late/report.html", "good/0/report.html"]
    words = " ".join(outline.words.split())
    assert f"✗ failed tour on 2.3.99-pre3 {len(bad)} times" in words
    assert f"✓ passed tour on 2.3.99-pre3 {MANY} times" in words
    assert "◔ timeout tour on 2.3.99-pre3 once" in words
    assert words.count("tour on 2.3.99-pre3") == MANY_NAMES + 3
    assert "and 3 more" in words
    assert "All are in results.jsonl" in words


def test_cells_of_one_place_are_shown_one_by_one_as_long_as_they_are_few() -> None:
    outline = Outline(grid_page(grid([cell(run=f"{number}") for number in range(MANY)])))
    links = [attrs for tag, attrs in outline.elements if tag == "a" and attrs.get("class") == "cell"]
    assert len(links) == MANY
    assert "results.jsonl" not in outline.words


def test_every_outcome_has_a_sign_of_its_own_or_is_skipped() -> None:
    words = Outline(grid_page(grid([cell(scenario=outcome, outcome=outcome) for outcome in OUTCOMES]))).words
    signs = {match[1]: match[0] for match in re.findall(rf"(\S) ({'|'.join(OUTCOMES)})", words)}
    assert len(set(signs.values())) == len(OUTCOMES)


def test_hostile_names_and_folders_do_no_harm() -> None:
    text = grid_page(grid([cell(HOSTILE, HOSTILE, reason=HOSTILE, run="javascript:alert(1)//")], HOSTILE))
    outline = Outline(text)
    assert outline.count("script") == 0
    assert 'href="javascript:' not in text
    assert 'href="javascript%3Aalert' in text


def test_grid_without_cells_says_so() -> None:
    assert "No scenario was tried" in grid_page(grid([]))
