"""What a measurement yields, and the table of all of it."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from typing import Any, Final

from attrs import asdict, frozen

__all__ = ["Bar", "Figure", "Unit", "as_record", "table"]


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


_HEADINGS: Final = ("figure", "what", "ours", "reference", "ratio", "rounds", "bar", "")
_VERDICTS: Final = {None: "", True: "reached", False: "MISSED"}
_EXACT_FROM: Final = 1000
_COARSE_FROM: Final = 100


def table(figures: Sequence[Figure]) -> str:
    """The figures as a Markdown table with aligned columns, and a list of their notes."""
    lines = [_HEADINGS, *(_cells(figure) for figure in figures)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADINGS))]
    padded = [
        _line(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines
    ]
    padded.insert(1, _line("-" * width for width in widths))
    notes = [f"- {figure.name}, {figure.what}: {figure.note}" for figure in figures if figure.note]
    return "\n".join([*padded, *([""] if notes else []), *notes])


def as_record(figure: Figure) -> dict[str, Any]:
    """The figure for JSON."""
    return {
        **asdict(figure, recurse=False),
        "unit": figure.unit.value,
        "bar": None if figure.bar is None else str(figure.bar),
        "met": figure.met,
    }


def _cells(figure: Figure) -> tuple[str, ...]:
    spread = ""
    if figure.low is not None and figure.high is not None:
        spread = f"{_number(figure.low)} to {_number(figure.high)}"
    return (
        figure.name,
        figure.what,
        _with_unit(figure.ours, figure.unit),
        "" if figure.reference is None else _with_unit(figure.reference, figure.unit),
        "" if figure.reference is None else _number(figure.value),
        spread,
        "" if figure.bar is None else str(figure.bar),
        _VERDICTS[figure.met],
    )


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _with_unit(value: float, unit: Unit) -> str:
    space = "" if unit is Unit.PER_SECOND else " "
    return f"{_number(value)}{space}{unit.value}"


def _number(value: float) -> str:
    if value == int(value) or value >= _EXACT_FROM:
        return f"{value:,.0f}"
    return f"{value:.0f}" if value >= _COARSE_FROM else f"{value:.3g}"
