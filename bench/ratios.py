"""The chart of the ratios: how far each is from its bar, on one scale."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Final

from attrs import frozen

from bench.canvas import LINE, Canvas, wrapped
from bench.figures import Bar, Figure, number, with_unit

__all__ = ["draw_ratios"]

_NUMBER: Final = re.compile(r"NFR-(\d+)")
_WHAT: Final = 74.0
_GAP: Final = 14.0
_ROW: Final = 7.0
_RATIO: Final = 144.0
_BAR: Final = 136.0
_MOST_TICKS: Final = 6
_FRACTIONS: Final = {-4: "1/16", -3: "1/8", -2: "1/4", -1: "1/2", 0: "bar"}


@frozen
class _Scale:
    """Where the quotient of a ratio and its bar lies: twice as good is a fixed way to the right."""

    left: float
    right: float
    least: int
    most: int

    @staticmethod
    def over(left: float, right: float, quotients: Sequence[float]) -> _Scale:
        """A scale that has room for all of them, and for the bar."""
        logs = [math.log2(quotient) for quotient in quotients]
        least, most = math.floor(min([-1.0, *logs])), math.ceil(max([1.0, *logs]))
        return _Scale(left, right, max(least, min(_FRACTIONS)), most)

    def at(self, quotient: float) -> float:
        """The x of a quotient."""
        part = (math.log2(quotient) - self.least) / (self.most - self.least)
        return self.left + (self.right - self.left) * min(1.0, max(0.0, part))

    @property
    def ticks(self) -> dict[float, str]:
        """What is written where, by x."""
        every = 2 if self.most - self.least > _MOST_TICKS else 1
        powers = [power for power in range(self.least, self.most + 1) if power % every == 0]
        return {
            self.at(2.0**power): _FRACTIONS.get(power, f"{2**power}\N{MULTIPLICATION SIGN}")
            for power in powers
        }


def draw_ratios(
    canvas: Canvas, figures: Iterable[Figure], left: float, right: float, top: float
) -> float:
    """Draw every figure that has a bar, those without a reference as words; the y below it all."""
    told = sorted((figure for figure in figures if figure.bar is not None), key=_order)
    rated = [figure for figure in told if figure.reference is not None and figure.value > 0]
    if not told:
        return top
    middle = left + (right - left) * 0.52
    end = right - 205
    quotients = [q for figure in rated for q in _quotients(figure)]
    scale = _Scale.over(middle, end, quotients)
    canvas.words(left, top, "Against the bars", "ink strong head")
    _legend(canvas, right, top)
    y = top + 34
    rows = _rows(rated, middle - left - _WHAT - _GAP)
    below = y + sum(height for _, _, height in rows)
    if rated:
        canvas.words(left, y - 8, "how many times as good as its bar each ratio is", "soft")
        canvas.words(right - _RATIO, y - 8, "ratio", "soft", "end")
        canvas.words(right - _BAR, y - 8, "bar", "soft")
        _axis(canvas, scale, y - 8, below)
    for figure, lines, height in rows:
        _row(canvas, figure, lines, scale, (left, y + height / 2, right))
        y += height
    return _others(canvas, [figure for figure in told if figure not in rated], left, right, y)


def _rows(figures: Sequence[Figure], width: float) -> list[tuple[Figure, list[str], float]]:
    lines = [(figure, wrapped(_what(figure), width)) for figure in figures]
    return [(figure, said, _ROW + LINE * len(said)) for figure, said in lines]


def _axis(canvas: Canvas, scale: _Scale, top: float, below: float) -> None:
    for x, said in scale.ticks.items():
        bar = said == "bar"
        canvas.words(x, top, said, "ink strong" if bar else "soft", "middle")
        canvas.rule(x, top + 6, x, below, "ink" if bar else "rule", 1.5 if bar else 1)


def _row(
    canvas: Canvas,
    figure: Figure,
    lines: Sequence[str],
    scale: _Scale,
    place: tuple[float, float, float],
) -> None:
    left, y, right = place
    style, shape = ("good", "circle") if figure.met else ("bad", "diamond")
    canvas.words(left, y + 4, figure.name, "ink strong")
    first = y + 4 - LINE * (len(lines) - 1) / 2
    for index, line in enumerate(lines):
        canvas.words(left + _WHAT, first + index * LINE, line)
    middle, *spread = (scale.at(quotient) for quotient in _quotients(figure))
    canvas.rule(scale.at(1), y, middle, y, style, 3)
    if spread:
        canvas.rule(min(spread), y, max(spread), y, "soft", 1)
        for x in spread:
            canvas.rule(x, y - 4, x, y + 4, "soft", 1)
    canvas.mark(middle, y, shape, style, hollow=not figure.met)
    _verdict(canvas, figure, number(figure.value), right, y + 4)


def _others(
    canvas: Canvas, figures: Sequence[Figure], left: float, right: float, top: float
) -> float:
    y = top + (24 if figures else 0)
    for figure in figures:
        said = wrapped(figure.what, right - left - _WHAT - 280)
        canvas.words(left, y + 4, figure.name, "ink strong")
        for index, line in enumerate(said):
            canvas.words(left + _WHAT, y + 4 + index * LINE, line)
        _verdict(canvas, figure, with_unit(figure.ours, figure.unit), right, y + 4)
        y += _ROW + LINE * len(said)
    return y


def _verdict(canvas: Canvas, figure: Figure, measured: str, right: float, y: float) -> None:
    style = "good" if figure.met else "bad"
    canvas.words(right - _RATIO, y, measured, "ink strong", "end")
    canvas.words(right - _BAR, y, f"{figure.bar}", "soft")
    canvas.words(right, y, figure.verdict, f"{style} strong", "end")


def _legend(canvas: Canvas, right: float, y: float) -> None:
    canvas.mark(right - 318, y - 4, "circle", "good")
    canvas.words(right - 308, y, "reached", "soft")
    canvas.mark(right - 246, y - 4, "diamond", "bad", hollow=True)
    canvas.words(right - 236, y, "missed", "soft")
    canvas.words(right, y, "├─┤ least and greatest round", "soft", "end")


def _what(figure: Figure) -> str:
    """What it is, with the version of the engine that it is against."""
    _, _, version = figure.against.rpartition(" ")
    return f"{figure.what} {version}".rstrip()


def _quotients(figure: Figure) -> list[float]:
    """How many times as good as its bar: the median, and the ends of the rounds where known."""
    bar = figure.bar
    assert bar is not None, "a figure without a bar is not drawn"
    values = (figure.value, figure.low, figure.high)
    return [_quotient(value, bar) for value in values if value]


def _quotient(value: float, bar: Bar) -> float:
    return value / bar.limit if bar.at_least else bar.limit / value


def _order(figure: Figure) -> tuple[int, str]:
    """Requirements by their number, and then the rest."""
    found = _NUMBER.fullmatch(figure.name)
    return (int(found[1]), "") if found else (1000, figure.name)
