"""What a measurement yields, and the table of all of it."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from attrs import asdict, frozen

__all__ = [
    "Bar",
    "Figure",
    "Unit",
    "aligned",
    "as_record",
    "figure_of",
    "number",
    "table",
    "with_unit",
]


class Unit(enum.Enum):
    """What a figure counts; a ratio has none of its own."""

    MICROSECONDS = "µs"
    MILLISECONDS = "ms"
    NANOSECONDS = "ns"
    PER_SECOND = "/s"
    SECONDS_PER_MINUTE = "s/min"
    BYTES = "B"
    MEBIBYTES = "MiB"
    CALLS = "calls"
    NONCES = "nonces"
    PERCENT = "%"


@frozen
class Bar:
    """What a figure must reach: at least or at most `limit`."""

    limit: float
    at_least: bool = False

    def met_by(self, value: float) -> bool:
        """Whether `value` reaches the bar."""
        return value >= self.limit if self.at_least else value <= self.limit

    @staticmethod
    def of(text: str) -> Bar:
        """The bar that a `str` of one says."""
        sign, _, limit = text.partition(" ")
        return Bar(float(limit.replace(",", "")), at_least=sign == "≥")

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.limit:,.10g}"


@frozen
class Figure:
    """One line of the table.

    `value` is what the bar is about: the ratio of `ours` to `reference`, or `ours` itself where
    there is no reference. `low` and `high` are the least and the greatest value of a round. No bar:
    the line informs. `note` is what one has to know to read it, printed below the table. `against`
    names the engine that the reference is, with its version.
    """

    name: str
    what: str
    unit: Unit
    ours: float
    value: float
    reference: float | None = None
    low: float | None = None
    high: float | None = None
    bar: Bar | None = None
    note: str = ""
    against: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the bar is reached; None where there is none."""
        return None if self.bar is None else self.bar.met_by(self.value)

    @property
    def verdict(self) -> str:
        """`met` in a word; empty where there is no bar."""
        return _VERDICTS[self.met]


_HEADINGS: Final = ("figure", "what", "ours", "reference", "ratio", "rounds", "bar", "")
_VERDICTS: Final = {None: "", True: "reached", False: "MISSED"}
_EXACT_FROM: Final = 1000
_COARSE_FROM: Final = 100


def table(figures: Sequence[Figure]) -> str:
    """The figures as a Markdown table with aligned columns, and a list of their notes."""
    lines = aligned([_HEADINGS, *(_cells(figure) for figure in figures)])
    notes = [f"- {figure.name}, {figure.what}: {figure.note}" for figure in figures if figure.note]
    return "\n".join([*lines, *([""] if notes else []), *notes])


def aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table whose columns are aligned; the first line is its head."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = [
        _line(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines
    ]
    padded.insert(1, _line("-" * width for width in widths))
    return padded


def as_record(figure: Figure) -> dict[str, Any]:
    """The figure for JSON."""
    return {
        **asdict(figure, recurse=False),
        "unit": figure.unit.value,
        "bar": None if figure.bar is None else str(figure.bar),
        "met": figure.met,
    }


def figure_of(record: Mapping[str, Any]) -> Figure:
    """The figure that `as_record` has made a record of."""
    kept = {name: value for name, value in record.items() if name != "met"}
    bar = None if record["bar"] is None else Bar.of(record["bar"])
    return Figure(**{**kept, "unit": Unit(record["unit"]), "bar": bar})


def _cells(figure: Figure) -> tuple[str, ...]:
    spread = ""
    if figure.low is not None and figure.high is not None:
        spread = f"{number(figure.low)} to {number(figure.high)}"
    return (
        figure.name,
        figure.what,
        with_unit(figure.ours, figure.unit),
        "" if figure.reference is None else with_unit(figure.reference, figure.unit),
        "" if figure.reference is None else number(figure.value),
        spread,
        "" if figure.bar is None else str(figure.bar),
        figure.verdict,
    )


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def with_unit(value: float, unit: Unit) -> str:
    """The value as a reader wants it, with what it counts."""
    space = "" if unit is Unit.PER_SECOND else " "
    return f"{number(value)}{space}{unit.value}"


def number(value: float) -> str:
    """The value with at most three digits that count, or as a whole number."""
    if value == int(value) or value >= _EXACT_FROM:
        return f"{value:,.0f}"
    return f"{value:.0f}" if value >= _COARSE_FROM else f"{value:.3g}"
