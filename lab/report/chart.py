"""Rows over one time axis: lanes of boxes, curves, bars and marks, one below the other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from lab.report.svg import Picture, Scale, Svg, ceiling, short, ticks

LEFT, RIGHT = 38, 10
HEADING, GAP = 24, 8
LANE, CURVE, BARS = 20, 64, 36
AXIS = 30
_LETTER = 7.2  # width of a letter, rather more
_BIN = 4  # width of a bar
Curve = Sequence[tuple[float, float]]  # (time, value)


class Bar(msgspec.Struct, frozen=True):
    """Something that lasts."""

    begin: float
    end: float
    kind: str
    label: str
    title: str


class Mark(msgspec.Struct, frozen=True):
    """Something that happens; `figure` is one of the svg's small ones."""

    t: float
    kind: str
    figure: str
    title: str


class Chart:
    """A picture of `width` units from `begin` to `end` (seconds); each call adds a row below.

    The axis counts from `zero` on.
    """

    def __init__(self, begin: float, end: float, width: int, zero: float = 0.0) -> None:
        self._zero = zero
        self.begin, self.end, self.width = begin, max(end, begin + 1e-6), width
        self.x = Scale(self.begin, self.end, LEFT, width - RIGHT)
        self._canvas = Svg()
        self._y = AXIS  # the axis stands on top and at the bottom

    def lanes(self, label: str, bars: Iterable[Bar], most: int = 3) -> None:
        """Add boxes, in as many lanes (at most `most`) as it takes for none to hide another one."""
        chosen = [bar for bar in bars if bar.end >= self.begin and bar.begin <= self.end]
        if not chosen:
            return
        self._heading(label)
        ends: list[float] = []
        for bar in sorted(chosen, key=lambda bar: bar.begin):
            free = next((number for number, end in enumerate(ends) if end <= bar.begin + 1e-9), len(ends))
            lane = min(free, most - 1)
            ends[lane : lane + 1] = [bar.end]
            self._box(bar, self._y + lane * LANE)
        self._y += len(ends) * LANE + GAP

    def curves(self, label: str, unit: str, kind: str, curves: Sequence[Curve], top: float = 0.0) -> None:
        """Add lines over one scale from 0 to the highest value (at least `top`), each with its area filled.

        Two points alone do not tell what was between them: their line is broken.
        """
        if not any(curves):
            return
        high = ceiling(max(top, *(value for curve in curves for _, value in curve)))
        self._heading(label)
        y = Scale(0, high, self._y + CURVE, self._y)
        self._level(y, 0, "0")
        self._level(y, high, short(high))
        self._canvas.text("tick end", LEFT - 5, self._y + CURVE / 2 + 4, unit)
        for curve in curves:
            points = [(self.x(t), y(value)) for t, value in _thin(curve, self.width)]
            if len(points) > 2:
                self._canvas.area(f"area {kind}", points, self._y + CURVE)
            self._canvas.lines(f"line {kind}" if len(points) > 2 else f"line {kind} broken", points)
        self._y += CURVE + GAP

    def mirror(self, label: str, unit: str, up: tuple[str, Sequence[Curve]], down: tuple[str, Sequence[Curve]]) -> None:
        """Add two kinds of steps on one scale: what is `up` above the line, what is `down` below it, each named."""
        values = [value for _, curves in (up, down) for curve in curves for _, value in curve]
        if not values:
            return
        high, middle = ceiling(max(values)), self._y + HEADING + CURVE / 2
        self._heading(label)
        for (name, curves), edge in ((up, self._y), (down, self._y + CURVE)):
            y = Scale(0, high, middle, edge)
            self._level(y, high, short(high))
            for curve in curves:
                points = _steps([(self.x(t), y(value)) for t, value in _thin(curve, self.width)])
                self._canvas.area(f"area {name}", points, middle)
                self._canvas.lines(f"line {name}", points)
            self._canvas.text("inside end", self.width - RIGHT - 3, edge + (11 if edge < middle else -4), name)
        self._level(Scale(0, high, middle, self._y), 0, unit)
        self._y += CURVE + GAP

    def bars(self, label: str, kind: str, times: Sequence[float]) -> None:
        """Add bars that count `times`."""
        counts = _bins(times, self.begin, self.end, (self.width - LEFT - RIGHT) // _BIN)
        if not any(counts):
            return
        self._heading(label)
        y = Scale(0, max(counts), self._y + BARS, self._y)
        self._level(y, 0, "0")
        self._level(y, max(counts), str(max(counts)))
        for number, count in enumerate(counts):
            if count:
                left = LEFT + number * _BIN
                self._canvas.box(f"bar {kind}", left, y(count), left + _BIN - 1, self._y + BARS, f"{label}: {count}")
        self._y += BARS + GAP

    def marks(self, label: str, marks: Iterable[Mark]) -> None:
        """Add small figures."""
        chosen = [mark for mark in marks if self.begin <= mark.t <= self.end]
        if not chosen:
            return
        self._heading(label)
        for mark in sorted(chosen, key=lambda mark: mark.kind != "passed"):  # what is wrong stands on top
            self._canvas.mark(f"mark {mark.kind}", mark.figure, self.x(mark.t), self._y + LANE / 2, mark.title)
        self._y += LANE + GAP

    def picture(self, name: str, title: str, says: str) -> Picture:
        """Put the axis in and return the whole."""
        behind = Svg()
        for since, text in ticks(self.begin - self._zero, self.end - self._zero, self.width // 80):
            t = since + self._zero
            behind.lines("grid", [(self.x(t), AXIS - 8), (self.x(t), self._y)])
            for y in (14, self._y + 15):
                behind.text(self._side(self.x(t)), self.x(t), y, f"{text} s")
        return Picture(name, self.width, int(self._y + 24), title, says, (*behind.shapes, *self._canvas.shapes))

    def _side(self, x: float) -> str:
        return "tick end" if x > self.width - 24 else "tick middle"

    def _heading(self, label: str) -> None:
        self._canvas.text("heading", 0, self._y + 12, label)
        self._y += HEADING

    def _level(self, y: Scale, value: float, text: str) -> None:
        self._canvas.lines("level", [(LEFT, y(value)), (self.width - RIGHT, y(value))])
        self._canvas.text("tick end", LEFT - 5, y(value) + 4, text)

    def _box(self, bar: Bar, top: float) -> None:
        left, right = self.x(bar.begin), self.x(bar.end)
        right = max(right, left + 1.5)
        self._canvas.box(f"box {bar.kind}", left, top, right, top + LANE - 3, bar.title)
        room = int((right - left - 8) / _LETTER)
        if room >= min(4, len(bar.label)):
            label = bar.label if len(bar.label) <= room else bar.label[: room - 1] + "…"
            self._canvas.text(f"inside on {bar.kind}", left + 4, top + 12.5, label)


def _bins(times: Sequence[float], begin: float, end: float, count: int) -> list[int]:
    counts = [0] * count
    for t in times:
        if begin <= t <= end:
            counts[min(count - 1, int((t - begin) / (end - begin) * count))] += 1
    return counts


def _thin(curve: Curve, most: int) -> Curve:
    """Keep the lowest and the highest of each few points, if there are more than a screen can show."""
    if len(curve) <= 2 * most:
        return curve
    size = -(-len(curve) // most)
    kept: list[tuple[float, float]] = []
    for start in range(0, len(curve), size):
        part = curve[start : start + size]
        kept += sorted({min(part, key=lambda point: point[1]), max(part, key=lambda point: point[1])})
    return kept


def _steps(points: Curve) -> Curve:
    """Turn values that each hold since the point before into the corners of steps."""
    corners: list[tuple[float, float]] = []
    for index, (x, y) in enumerate(points):
        if index:
            corners.append((points[index - 1][0], y))
        corners.append((x, y))
    return corners
