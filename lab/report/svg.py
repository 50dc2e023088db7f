"""Shapes, scales and an axis's ticks: what a picture is put together from, before a template turns it into SVG.

Units are those of the picture, which is as wide as it is asked to be: a browser shows it at about one pixel each.
Every shape has a class, which gives it its colour, and may have a title, which a pointer shows. A plotting library was
tried: matplotlib 3.11 gives neither (its text is paths, its colours are fixed, so that a page has no dark mode), takes
0.9 s to import, and 199 MB with what it needs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import msgspec

MINUTE = 120.0  # from so many seconds on a time is told in minutes


class Shape(msgspec.Struct, frozen=True):
    """A path (SVG's `d`) or, if it has one, a text at (x, y)."""

    kind: str
    path: str = ""
    title: str = ""
    x: float = 0.0
    y: float = 0.0
    text: str = ""


class Picture(msgspec.Struct, frozen=True):
    """A picture whose meaning `title` and `says` tell to those who do not see it; `name` is unique on its page."""

    name: str
    width: int
    height: int
    title: str
    says: str
    shapes: tuple[Shape, ...]


class Scale(msgspec.Struct, frozen=True):
    """Maps `low` to `start` and `high` to `stop`, and what is outside to the nearer of the two."""

    low: float
    high: float
    start: float
    stop: float

    def __call__(self, value: float) -> float:
        """Return the place of a value."""
        span = self.high - self.low
        part = 0.0 if span <= 0 else min(1.0, max(0.0, (value - self.low) / span))
        return self.start + part * (self.stop - self.start)


class Svg:
    """Collects shapes."""

    def __init__(self) -> None:
        self.shapes: list[Shape] = []

    def box(self, kind: str, left: float, top: float, right: float, bottom: float, title: str = "") -> None:
        """Draw a rectangle."""
        path = f"M{_n(left)} {_n(top)}H{_n(right)}V{_n(bottom)}H{_n(left)}Z"
        self.shapes.append(Shape(kind, path, title))

    def lines(self, kind: str, points: Sequence[tuple[float, float]], title: str = "") -> None:
        """Draw a line through points; one alone becomes a dot."""
        if not points:
            return
        ends = points if len(points) > 1 else [points[0], (points[0][0] + 0.01, points[0][1])]
        path = "M" + "L".join(f"{_n(x)} {_n(y)}" for x, y in ends)
        self.shapes.append(Shape(kind, path, title))

    def area(self, kind: str, points: Sequence[tuple[float, float]], base: float) -> None:
        """Fill what is between points and a base line."""
        if len(points) > 1:
            path = "L".join(f"{_n(x)} {_n(y)}" for x, y in points)
            self.shapes.append(Shape(kind, f"M{_n(points[0][0])} {_n(base)}L{path}V{_n(base)}Z"))

    def mark(self, kind: str, path: str, x: float, y: float, title: str = "") -> None:
        """Draw a small figure, whose path is relative to its middle, at a place."""
        self.shapes.append(Shape(kind, f"M{_n(x)} {_n(y)}{path}", title))

    def text(self, kind: str, x: float, y: float, text: str) -> None:
        """Write; the class says which end of the text is at `x`."""
        self.shapes.append(Shape(kind, x=round(x, 1), y=round(y, 1), text=text))


# Small figures, relative to their middle.
CROSS = "m-4 -4l8 8m0 -8l-8 8"
DIAMOND = "m0 -5l5 5l-5 5l-5 -5z"
CHECK = "m-4 0l3 4l6 -8"
BAR = "m-4 0h8"


def ticks(low: float, high: float, most: int) -> Iterator[tuple[float, str]]:
    """Yield round values from `low` to `high`, at most about `most` of them, and how to write each."""
    span = high - low
    if span <= 0 or most < 1:
        return
    rough = span / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    for number in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1):
        yield number * step, f"{number * step:.{max(0, -math.floor(math.log10(step)))}f}"


def ceiling(value: float) -> float:
    """Return the next round value: the top of an axis."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return float(next(power * factor for factor in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if power * factor >= value * 0.999))


def short(value: float) -> str:
    """Write a number without zeros that say nothing."""
    return f"{value:.3f}".rstrip("0").rstrip(".") if abs(value) < 1 else f"{value:.1f}".removesuffix(".0")


def lasting(seconds: float) -> str:
    """Write how long something took."""
    if seconds >= MINUTE:
        return f"{int(seconds // 60)} min {int(seconds % 60)} s"
    return f"{seconds:.1f} s" if seconds >= 10 else f"{seconds:.2f} s"


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
