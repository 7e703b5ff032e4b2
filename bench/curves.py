"""How a figure moves along an axis: the points, how flat they are, and a table of them."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import asdict, frozen

from bench.figures import Unit, aligned, number, with_unit

__all__ = ["Curve", "Point", "curve_of", "curve_record", "curve_table", "point_of"]


@frozen
class Point:
    """What was measured at one place of the axis: the median of the rounds, and their spread."""

    at: float
    median: float
    low: float
    high: float


def point_of(at: float, samples: Sequence[float]) -> Point:
    """The point of the samples that were taken there."""
    return Point(at, statistics.median(samples), min(samples), max(samples))


@frozen
class Curve:
    """A line of points, and whether the cost that it shows stays flat.

    `value` says what was measured at each place, `what` what of; curves of one name and axis
    have the same value.

    The cost at a point is its value, or what one step takes where the value is a rate. Where `per`
    names what the axis counts (a byte, a workflow), it is the cost of one of them.
    """

    name: str
    value: str
    what: str
    axis: str
    unit: Unit
    points: tuple[Point, ...]
    per: str = ""
    note: str = ""

    @property
    def costs(self) -> tuple[float, ...]:
        """The cost at each point, in a unit that is the same for all of them."""
        return tuple(self._cost(point) for point in self.points)

    @property
    def flatness(self) -> float:
        """The most by which the cost rises from one point to a later one: 1 where it never does.

        A cost that falls at first, until something saturates, is measured from its least on.
        """
        costs = self.costs
        rises = (later / cost for index, cost in enumerate(costs) for later in costs[index:])
        return max(rises)

    @property
    def judged(self) -> str:
        """What `flatness` is of, in words."""
        return f"flatness per {self.per}" if self.per else "flatness"

    def _cost(self, point: Point) -> float:
        cost = 1 / point.median if self.unit is Unit.PER_SECOND else point.median
        return cost / point.at if self.per else cost


def curve_table(curve: Curve) -> str:
    """A Markdown table of the points, under a line that says what it is and how flat."""
    columns = [
        (curve.axis, "median", "rounds"),
        *(
            (
                f"{point.at:,.0f}",
                with_unit(point.median, curve.unit),
                "" if point.low == point.high else f"{number(point.low)} to {number(point.high)}",
            )
            for point in curve.points
        ),
    ]
    said = f"{curve.name}: {curve.value}, {curve.what}; {curve.judged} {curve.flatness:.2f}"
    rows = list(zip(*columns, strict=True))
    spread = any(cell for cell in rows[-1][1:])
    lines = [said, "", *aligned(rows if spread else rows[:-1])]
    return "\n".join([*lines, *(["", f"- {curve.note}"] if curve.note else [])])


def curve_of(record: Mapping[str, Any]) -> Curve:
    """The curve that `curve_record` has made a record of."""
    kept = {name: value for name, value in record.items() if name != "flatness"}
    points = tuple(Point(**point) for point in record["points"])
    return Curve(**{**kept, "unit": Unit(record["unit"]), "points": points})


def curve_record(curve: Curve) -> dict[str, Any]:
    """The curve for JSON."""
    return {
        **asdict(curve),
        "unit": curve.unit.value,
        "flatness": curve.flatness,
    }
