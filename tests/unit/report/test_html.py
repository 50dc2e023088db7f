"""Pages: complete, harmless whatever the console said, and readable without colours."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest

from lab.report.html import PARTS, page, pair_page
from lab.resources import folder
from tests.unit.report.outline import Outline
from tests.unit.report.runs import HOSTILE, bad_run, good_run, sample, seen, whole_test

EVENTS = {
    "empty": [],
    "good": good_run(),
    "bad": bad_run(),
    "hostile": bad_run(HOSTILE),
    "no samples": [*whole_test(1.0, "a"), sample(1.2), sample(1.8)],
    "no guest": whole_test(1.0, "a"),
    "several": [
        *({**event, "worker": worker} for worker in ("gw0", "gw1") for event in bad_run() if event["kind"] != "run")
    ],
}


@pytest.mark.parametrize("name", EVENTS)
def test_page_is_well_formed_and_needs_nothing_else(name: str) -> None:
    text = page(seen(EVENTS[name]))
    outline = Outline(text)
    assert len(outline.ids()) == len(set(outline.ids()))
    assert outline.count("script") == outline.count("link") == outline.count("img") == 0
    assert not re.search(r"url\(|@import|src=|https?://", text)


@pytest.mark.parametrize("name", EVENTS)
def test_references_on_a_page_lead_somewhere(name: str) -> None:
    outline = Outline(page(seen(EVENTS[name])))
    wanted = [str(attrs["href"]).removeprefix("#") for _, attrs in outline.elements if "href" in attrs]
    for attribute in ("aria-labelledby", "aria-describedby"):
        wanted += [word for _, attrs in outline.elements for word in str(attrs.get(attribute) or "").split()]
    assert set(wanted) - set(outline.ids()) == set()


@pytest.mark.parametrize("name", EVENTS)
def test_page_has_landmarks_and_headings_in_order(name: str) -> None:
    outline = Outline(page(seen(EVENTS[name])))
    assert [outline.count(tag) for tag in ("header", "main", "footer", "h1")] == [1, 1, 1, 1]
    levels = [int(tag[1]) for tag, _ in outline.elements if re.fullmatch("h[1-6]", tag)]
    assert all(after - before <= 1 for before, after in pairwise(levels))


@pytest.mark.parametrize("name", ["good", "bad", "several"])
def test_every_picture_has_a_name_and_a_description(name: str) -> None:
    elements = Outline(page(seen(EVENTS[name]))).elements
    pictures = [attrs for tag, attrs in elements if tag == "svg"]
    assert pictures
    assert all(attrs["role"] == "img" and len(str(attrs["aria-labelledby"]).split()) == 2 for attrs in pictures)


def test_what_scrolls_can_be_reached_by_keyboard() -> None:
    elements = Outline(page(seen(bad_run()))).elements
    boxes = [attrs for tag, attrs in elements if tag == "pre" or attrs.get("class") == "scroll"]
    assert len(boxes) > 4
    assert all(attrs["tabindex"] == "0" and attrs["role"] == "region" for attrs in boxes)
    assert all(attrs.get("aria-label") or attrs.get("aria-labelledby") for attrs in boxes)


def test_hostile_text_is_shown_as_text() -> None:
    text = page(seen(bad_run(HOSTILE)))
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "\x1b" not in text
    assert "\x00" not in text
    assert "␛[31m␀ & <b>" in Outline(text).words


def test_hostile_names_and_commands_are_shown_as_text() -> None:
    events = good_run()
    for event in events:
        for name in ("repeat", "test", "says", "detail", "began", "text"):
            if name in event and event["kind"] != "note":
                event[name] = f"{event[name]}{HOSTILE}"
    text = page(seen(events))
    assert "<script" not in text
    assert text.count("&lt;script&gt;") > 5


def test_policy_of_a_page_forbids_scripts() -> None:
    assert "default-src 'none'; style-src 'unsafe-inline'" in page(seen([]))


def test_verdict_is_said_in_words_beside_every_colour() -> None:
    words = Outline(page(seen(bad_run()))).words
    assert "✗ failed" in words
    assert "✓ passed" in words
    assert "1 passed" in words


def test_page_without_samples_says_how_to_get_them() -> None:
    events = [{"t": 0.0, "kind": "run", "repeat": "kvmd-lab run a", "began": ""}, *EVENTS["no samples"]]
    assert "kvmd-lab run a --samples" in page(seen(events))
    assert "--samples</code>" not in page(seen(good_run()))


def test_page_of_a_run_without_a_guest_says_so() -> None:
    assert "there is nothing to draw" in page(seen(EVENTS["no guest"]))


def test_table_of_figures_tells_the_samples() -> None:
    words = " ".join(re.sub("<[^>]*>", " ", page(seen(good_run()))).split())
    assert "0.00 0.00 8.0 0.0 0.0 0.0 test_regions[7]" in words
    assert "0.70 7.00 1.0 3.5 0.0 7.0 test_regions[7]" in words


def test_only_scenarios_that_failed_are_unfolded() -> None:
    elements = Outline(page(seen(bad_run()))).elements
    assert sum(tag == "details" and "open" in attrs for tag, attrs in elements) == 1


def test_of_many_scenarios_those_that_failed_have_pictures() -> None:
    events = [event for n in range(PARTS) for event in [*whole_test(2.0 * n, f"n{n}"), sample(2.0 * n + 0.5)]]
    events += [*whole_test(50.0, "last", result="failed"), sample(50.5)]
    text = page(seen(events))
    assert "Timeline of test_last[7]" in text
    assert "Timeline of test_n0[7]" in text
    assert f"Timeline of test_n{PARTS - 1}[7]" not in text


def _luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one: str, other: str) -> float:
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def _palettes() -> list[dict[str, str]]:
    css = (folder("lab") / "report/templates/style.css.j2").read_text()
    return [
        dict(re.findall(r"--([\w-]+): (#\w{6})", block)) for block in re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    ]


VERDICT_WORDS = ("passed", "failed", "error", "skipped", "unfinished")
TEXTS = [(ink, back) for ink in ("ink", "dim", "link") for back in ("back", "sheet")]
TEXTS += [(word, f"{word}-back") for word in VERDICT_WORDS] + [("failed", "back"), ("ink", "skipped-back")]
GRAPHICS = [(name, "back") for name in ("free", "used", "read", "written", "kvmd", "quiet", *VERDICT_WORDS)]


@pytest.mark.parametrize("palette", [0, 1], ids=["light", "dark"])
def test_contrast_is_enough_for_everybody(palette: int) -> None:
    """WCAG 2.2 AA: 4.5 for text (1.4.3), 3 for what is not text (1.4.11)."""
    colours = _palettes()[palette]
    poor = [pair for pair in TEXTS if _contrast(*(colours[name] for name in pair)) < 4.5]
    poor += [pair for pair in GRAPHICS if _contrast(*(colours[name] for name in pair)) < 3]
    assert poor == []


def test_two_runs_fit_on_the_page_of_a_bisection() -> None:
    found = Outline(pair_page("it turns", ["maybe"], ["a", "b"], [("a", seen(bad_run())), ("b", seen(bad_run()))]))
    ids = [name for name in found.ids() if name != "main"]
    assert len(ids) == len(set(ids))
    assert all(name.startswith(("side-0-", "side-1-")) for name in ids)
    assert [name for name in ids if name.endswith("-kernel")] == ["side-0-kernel", "side-1-kernel"]
