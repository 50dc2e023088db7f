"""Series and pictures: what is where on the time axis."""

from __future__ import annotations

import pytest

from lab.report import drawing
from lab.report.chart import AXIS, HEADING, LEFT, RIGHT, Chart, Mark
from lab.report.svg import CROSS, Picture, Scale, ceiling, ticks
from lab.report.timeline import Segment, panels
from tests.unit.report.runs import Event, agent, bad_run, good_run, outcome, sample, seen, stage, whole_test


def test_samples_are_cut_where_a_machine_was_restored() -> None:
    events = [sample(1.2, written=4096), sample(1.4, written=8192), sample(1.6, written=0), *whole_test(1.0, "a")]
    (panel,) = seen(events).panels
    assert [[one.t for one in segment.samples] for segment in panel.segments] == [[1.2, 1.4], [1.6]]


def test_samples_are_cut_where_the_guests_clock_falls_back() -> None:
    (panel,) = seen([sample(1.2, guest=5.0), sample(1.4, guest=4.0)]).panels
    assert len(panel.segments) == 2


def test_samples_of_two_scenarios_are_apart() -> None:
    events = [*whole_test(1.0, "a"), *whole_test(2.1, "b"), sample(1.5), sample(2.5), sample(9.0)]
    (panel,) = seen(events).panels
    assert [segment.scenario for segment in panel.segments] == [0, 1, None]


@pytest.mark.parametrize(("count", "sampled"), [(0, False), (2, False), (3, True)])
def test_run_is_sampled_if_there_are_samples_from_within(count: int, sampled: bool) -> None:
    run = seen([*whole_test(1.0, "a"), *(sample(1.2 + n / 10) for n in range(count))])
    assert run.sampled == sampled


def test_each_process_has_a_panel_of_its_own() -> None:
    found = panels([{**agent(1.0), "worker": "gw1"}, {**agent(2.0), "worker": "gw0"}], [])
    assert [panel.worker for panel in found] == ["gw0", "gw1"]


def test_calls_of_kvmd_are_counted_by_name() -> None:
    (panel,) = seen(good_run()).panels
    assert (len(panel.kvmd), len(panel.refused)) == (3, 1)
    found = {tally.name: (tally.calls, tally.refused) for tally in panel.tallies}
    assert found == {"kvmd open": (1, 0), "kvmd fill": (1, 0), "kvmd alloc": (1, 1)}


def test_call_that_took_long_is_kept_from_its_beginning() -> None:
    (call,) = panels([agent(1.0), agent(2.0, "MEM_PRESSURE", 0.5, "timeout")], [])[0].long_calls
    assert (call.t, call.seconds, call.name, call.refused) == (1.5, 0.5, "mem_pressure", "timeout")


def test_rates_are_of_the_time_before_each_sample() -> None:
    (panel,) = seen([sample(1.0, read=0), sample(1.5, read=1 << 20), sample(2.5, read=2 << 20)]).panels
    assert drawing.rates(panel.segments[0], "swap_read") == [(1.0, 2.0), (1.5, 2.0), (2.5, 1.0)]


def test_one_sample_alone_has_no_rate_and_old_ones_no_clock() -> None:
    (panel,) = seen([sample(1.0)]).panels
    only: Segment = panel.segments[0]
    assert (drawing.rates(only, "swap_read"), drawing.guest_time(only)) == ([], [])


def test_picture_says_in_words_what_it_shows() -> None:
    run = seen(bad_run())
    picture = drawing.whole(run, run.panels[0], 960, "x")
    assert picture.says == (
        "Scenarios: 1 passed, 1 failed; free memory between 1 and 8 MiB; swap in use up to 3.5 MiB; "
        "7 MiB written to the swap disk; 0 MiB read from the swap disk; 3 calls of kvmd; 1 fault of the kernel."
    )


def test_whole_picture_has_all_rows_and_a_scenarios_has_its_own() -> None:
    run = seen([*bad_run(), stage(0.95, "restore", 0.01)])
    whole = {shape.text for shape in drawing.whole(run, run.panels[0], 960, "x").shapes if shape.kind == "heading"}
    part = drawing.part(run, run.scenarios[0], 960, "x")
    assert part is not None
    mine = {shape.text for shape in part.shapes if shape.kind == "heading"}
    assert whole == {
        "scenarios",
        "stages",
        "free memory, as the guest tells",
        "swap in use, as the guest tells",
        "swap traffic, as QEMU counts",
        "guest's clock since the first sample",
        "calls of kvmd",
        "calls of kvmd that it refused",
        "calls that took long",
        "lines on the console",
        "faults, asserts, and how scenarios ended",
    }
    assert mine == whole - {"scenarios", "stages"}


def long_build() -> list[Event]:
    """A kernel that is built for 300 s, before a scenario of a second."""
    build = [stage(2.0, "source", 1.0), stage(302.0, "build", 300.0), stage(10.0, "port", 5.0)]
    machine = [stage(303.0, "boot", 0.5), sample(303.2), sample(303.6)]
    test = "test_a.py::test_a[7]"
    return [*build, *machine, outcome(303.1, test, "setup", seconds=302.0), outcome(303.9, test, seconds=0.8)]


def places(picture: Picture, kind: str) -> list[float]:
    """Where boxes begin."""
    return [float(shape.path[1:].split()[0]) for shape in picture.shapes if shape.kind == kind]


def test_machines_time_begins_with_it_and_not_with_the_build() -> None:
    run = seen(long_build())
    (panel,) = run.panels
    assert (panel.begin, panel.end) == (302.5, 303.9)
    picture = drawing.whole(run, panel, 960, "x")
    assert [shape.text for shape in picture.shapes if shape.kind.startswith("tick")][:2] == ["0.0 s", "0.0 s"]
    assert places(picture, "box passed") == [LEFT]
    assert {shape.title for shape in picture.shapes if shape.kind == "box stage"} == {"boot, 0.50 s"}
    part = drawing.part(run, run.scenarios[0], 960, "x")
    assert part is not None
    assert "box stage" in {shape.kind for shape in part.shapes}


def test_what_was_prepared_has_an_axis_and_times_of_its_own() -> None:
    picture = drawing.before(seen(long_build()), 960, "x")
    assert picture is not None
    assert picture.says == "source 1.00 s, build 5 min 0 s, port 5.00 s."
    assert "build, 5 min 0 s" in {shape.text for shape in picture.shapes}
    assert drawing.before(seen([sample(1.0)]), 960, "x") is None


def test_boxes_that_would_hide_each_other_get_lanes() -> None:
    run = seen([*good_run(), agent(1.6, "MEM_PRESSURE", 0.3), agent(1.62, "MEM_PRESSURE", 0.2)])
    shapes = drawing.whole(run, run.panels[0], 960, "x").shapes
    tops = {shape.path.partition("H")[0].split()[-1] for shape in shapes if shape.kind == "box call"}
    assert len(tops) == 3


def test_everything_stands_within_the_picture() -> None:
    run = seen(bad_run())
    for width in (960, 340):
        picture = drawing.whole(run, run.panels[0], width, "x")
        texts = [shape for shape in picture.shapes if shape.text]
        assert all(0 <= shape.x <= width and 0 < shape.y <= picture.height for shape in texts)


def test_scale_maps_and_clamps() -> None:
    scale = Scale(1.0, 3.0, 10.0, 30.0)
    assert [scale(value) for value in (0.0, 1.0, 2.0, 3.0, 9.0)] == [10.0, 10.0, 20.0, 30.0, 30.0]
    assert Scale(1.0, 1.0, 10.0, 30.0)(1.0) == 10.0


@pytest.mark.parametrize(
    ("low", "high", "most", "texts"),
    [
        (0.0, 10.0, 5, ["0", "2", "4", "6", "8", "10"]),
        (0.3, 0.5, 4, ["0.30", "0.35", "0.40", "0.45", "0.50"]),
        (95.0, 320.0, 3, ["100", "200", "300"]),
        (5.0, 5.0, 3, []),
    ],
)
def test_ticks_are_round_and_written_apart(low: float, high: float, most: int, texts: list[str]) -> None:
    assert [text for _, text in ticks(low, high, most)] == texts


@pytest.mark.parametrize(("value", "top"), [(0.0, 1.0), (13.9, 15.0), (15.0, 15.0), (0.07, 0.08), (96.0, 100.0)])
def test_top_of_an_axis_is_round_and_not_far_above(value: float, top: float) -> None:
    assert ceiling(value) == pytest.approx(top)


def test_place_of_a_mark_follows_its_time() -> None:
    chart = Chart(0.0, 10.0, 1000)
    chart.marks("marks", [Mark(5.0, "x", CROSS, "half"), Mark(11.0, "x", CROSS, "outside")])
    (mark,) = [shape for shape in chart.picture("", "", "").shapes if shape.kind == "mark x"]
    assert mark.path.startswith(f"M{(LEFT + 1000 - RIGHT) / 2:g} ")


def test_many_points_keep_their_peaks() -> None:
    chart = Chart(0.0, 1.0, 100)
    points = [(n / 5000, 100.0 if n == 2525 else 1.0) for n in range(5000)]
    chart.curves("c", "MiB", "c", [points])
    (line,) = [shape for shape in chart.picture("", "", "").shapes if shape.kind == "line c"]
    heights = [float(point.split()[1]) for point in line.path[1:].split("L")]
    assert len(heights) <= 200
    assert (min(heights), heights.count(min(heights))) == (AXIS + HEADING, 1)


@pytest.mark.parametrize(("count", "kind"), [(2, "line c broken"), (3, "line c")])
def test_line_between_two_samples_alone_is_broken(count: int, kind: str) -> None:
    chart = Chart(0.0, 1.0, 100)
    chart.curves("c", "MiB", "c", [[(n / 10, 1.0) for n in range(count)]])
    assert [shape.kind for shape in chart.picture("", "", "").shapes if shape.kind.startswith("line")] == [kind]
