"""The curves as small charts of one kind, side by side: both axes logarithmic."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final

from attrs import frozen

from bench.canvas import LINE, MARKS, Canvas, wrapped
from bench.curves import Curve
from bench.figures import Unit

__all__ = ["draw_curves"]

_IN_A_ROW: Final = 3
_BETWEEN: Final = 28.0
_PLOT: Final = 132.0
_AXIS: Final = 44.0
_LABELS: Final = 42.0
_STYLES: Final = ("first", "second", "third")
_STEPS: Final = (1, 2, 5)
_NEAR_PX: Final = 26.0
_KILO: Final = 1000
_KIBI: Final = 1024


@frozen
class _Log:
    """A logarithmic axis; 0 has its place one power of ten below the least of the others."""

    least: float
    most: float
    begin: float
    end: float

    def at(self, value: float) -> float:
        """The place of a value in px."""
        least, most = math.log10(self.least), math.log10(self.most)
        part = (math.log10(value or self.least) - least) / (most - least)
        return self.begin + (self.end - self.begin) * part


def draw_curves(
    canvas: Canvas, curves: Iterable[Curve], left: float, right: float, top: float
) -> float:
    """Draw a panel for each axis of each name, with its lines in it; the y below them all.

    Rates come first, and each kind by name.
    """
    panels: dict[tuple[str, str], list[Curve]] = {}
    for curve in curves:
        panels.setdefault((curve.name, curve.axis), []).append(curve)
    if not panels:
        return top
    canvas.words(left, top, "As it grows", "ink strong head")
    said = "flatness: the most by which the cost rises from one point to a later one"
    canvas.words(right, top, said, "soft", "end")
    width = (right - left - _BETWEEN * (_IN_A_ROW - 1)) / _IN_A_ROW
    y = top + 32
    drawn = sorted(panels.values(), key=_order)
    for first in range(0, len(drawn), _IN_A_ROW):
        row = drawn[first : first + _IN_A_ROW]
        legends = max(_legend_height(lines, width) for lines in row)
        for index, lines in enumerate(row):
            _panel(canvas, lines, (left + index * (width + _BETWEEN), y, width), legends)
        y += LINE + legends + _PLOT + _AXIS + 22
    return y - 22


def _panel(
    canvas: Canvas, lines: Sequence[Curve], place: tuple[float, float, float], legends: float
) -> None:
    left, top, width = place
    canvas.words(left, top, _title(lines[0]), "ink strong")
    canvas.words(left + width, top, lines[0].judged, "soft", "end")
    y = top + LINE + 3
    for curve, style, shape in zip(lines, _STYLES, MARKS, strict=False):
        canvas.mark(left + 6, y - 4, shape, style)
        canvas.words(left + width, y, f"{curve.flatness:.2f}", "ink strong", "end")
        for said in _legend(curve, width):
            canvas.words(left + 18, y, said)
            y += LINE
    upper = top + LINE + legends
    across, up = _axes(lines, left + _LABELS, left + width - 8, upper + _PLOT, upper)
    _grid(canvas, lines, across, up)
    for curve, style, shape in zip(lines, _STYLES, MARKS, strict=False):
        _line(canvas, curve, across, up, (style, shape))
    middle = (across.begin + across.end) / 2
    canvas.words(middle, upper + _PLOT + 36, lines[0].axis, "soft", "middle")


def _axes(
    lines: Sequence[Curve], left: float, right: float, below: float, above: float
) -> tuple[_Log, _Log]:
    """One across and one upwards; the latter of a decade at least, so that noise stays small."""
    places = sorted({point.at for curve in lines for point in curve.points})
    above_zero = [place for place in places if place > 0] or [1.0]
    least = above_zero[0] / 10 if places[0] == 0 else above_zero[0]
    across = _Log(least, max(above_zero[-1], least * 2), left + 10, right - 10)
    lows = [point.low for curve in lines for point in curve.points]
    highs = [point.high for curve in lines for point in curve.points]
    bottom, top = min(lows) / 1.3, max(highs) * 1.3
    missing = max(1.0, 10 / (top / bottom))
    return across, _Log(bottom / math.sqrt(missing), top * math.sqrt(missing), below, above)


def _grid(canvas: Canvas, lines: Sequence[Curve], across: _Log, up: _Log) -> None:
    for value in _round_values(up):
        y = up.at(value)
        canvas.rule(across.begin - 10, y, across.end + 10, y, "rule")
        canvas.words(across.begin - 16, y + 4, _short(value), "soft", "end")
    canvas.rule(across.begin - 10, up.begin, across.end + 10, up.begin, "soft")
    binary = any(point.at % _KIBI == 0 and point.at for curve in lines for point in curve.points)
    last = -math.inf
    for place in sorted({point.at for curve in lines for point in curve.points}):
        x = across.at(place)
        canvas.rule(x, up.begin, x, up.begin + 4, "soft")
        if x - last >= _NEAR_PX:
            said = _binary(place) if binary else _short(place)
            canvas.words(x, up.begin + 18, said, "soft", "middle")
            last = x


def _line(canvas: Canvas, curve: Curve, across: _Log, up: _Log, look: tuple[str, str]) -> None:
    style, shape = look
    for point in curve.points:
        x = across.at(point.at)
        canvas.rule(x, up.at(point.low), x, up.at(point.high), style, 1)
    canvas.path([(across.at(point.at), up.at(point.median)) for point in curve.points], style)
    for point in curve.points:
        canvas.mark(across.at(point.at), up.at(point.median), shape, style)


def _order(lines: Sequence[Curve]) -> tuple[bool, str]:
    return lines[0].unit is not Unit.PER_SECOND, lines[0].name


def _title(curve: Curve) -> str:
    """The value, and what it is counted in where it does not say so itself."""
    unit = "" if curve.unit is Unit.PER_SECOND else f", {curve.unit.value}"
    return f"{curve.value.capitalize()}{unit}"


def _legend(curve: Curve, width: float) -> list[str]:
    return wrapped(curve.what, width - 56)


def _legend_height(lines: Sequence[Curve], width: float) -> float:
    return LINE * sum(len(_legend(curve, width)) for curve in lines) + 8


def _round_values(up: _Log) -> list[float]:
    """Powers of ten on the axis; with their doubles and fives where that leaves it nearly bare."""
    powers = range(math.floor(math.log10(up.least)), math.ceil(math.log10(up.most)) + 1)
    values = [step * 10.0**power for power in powers for step in _STEPS]
    inside = [value for value in values if up.least <= value <= up.most]
    bare = [value for value in inside if math.log10(value).is_integer()]
    return bare if len(bare) > 1 else inside


def _short(value: float) -> str:
    """The value in four letters or so."""
    for limit, letter in ((_KILO**2, "M"), (_KILO, "k")):
        if value >= limit:
            return f"{value / limit:.3g}{letter}"
    return f"{value:.3g}"


def _binary(value: float) -> str:
    for limit, letter in ((_KIBI**2, "Mi"), (_KIBI, "Ki")):
        if value >= limit:
            return f"{value / limit:.3g} {letter}"
    return f"{value:.3g}"
