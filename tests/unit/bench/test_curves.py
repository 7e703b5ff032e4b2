"""A curve knows how flat it is, and comes back from its record."""

from __future__ import annotations

import json

import pytest

from bench.curves import Curve, Point, curve_of, curve_record, curve_table, point_of
from bench.figures import Unit


def curve(*medians: tuple[float, float], unit: Unit = Unit.MICROSECONDS, per: str = "") -> Curve:
    points = tuple(point_of(at, [value * 0.5, value, value * 2]) for at, value in medians)
    return Curve("curve-some", "time of a step", "some steps", "rows", unit, points, per)


def test_a_point_is_the_median_with_its_spread() -> None:
    assert point_of(10, [5.0, 1.0, 3.0]) == Point(10, median=3.0, low=1.0, high=5.0)


def test_a_cost_that_rises_is_not_flat() -> None:
    assert curve((0, 100.0), (10, 150.0)).flatness == pytest.approx(1.5)


def test_a_cost_that_only_falls_is_flat() -> None:
    assert curve((0, 150.0), (10, 100.0)).flatness == 1.0


def test_a_rise_counts_from_the_least_cost_before_it() -> None:
    assert curve((1, 900.0), (10, 100.0), (100, 130.0), (1000, 110.0)).flatness == pytest.approx(
        1.3
    )


def test_the_cost_of_a_rate_is_what_one_step_takes() -> None:
    rates = curve((1, 100.0), (10, 1000.0), (100, 800.0), unit=Unit.PER_SECOND)
    assert rates.flatness == pytest.approx(1.25)


def test_a_cost_may_be_that_of_one_byte() -> None:
    """Ten times as many bytes, at a fifth of the rate: a byte has become cheaper."""
    rates = ((100, 1000.0), (1000, 200.0))
    assert curve(*rates, unit=Unit.PER_SECOND).flatness == pytest.approx(5.0)
    assert curve(*rates, unit=Unit.PER_SECOND, per="byte").flatness == 1.0


def test_a_curve_comes_back_from_its_record() -> None:
    some = curve((1, 100.0), (10, 150.0), per="byte")
    assert curve_of(json.loads(json.dumps(curve_record(some)))) == some


def test_the_table_has_every_point_and_the_flatness() -> None:
    said, _, head, _, medians, rounds = curve_table(curve((0, 100.0), (10_000, 150.0))).splitlines()
    assert said == "curve-some: time of a step, some steps; flatness 1.50"
    assert [cell.strip() for cell in head.split("|")[1:-1]] == ["rows", "0", "10,000"]
    assert [cell.strip() for cell in medians.split("|")[1:-1]] == ["median", "100 µs", "150 µs"]
    assert [cell.strip() for cell in rounds.split("|")[1:-1]] == [
        "rounds",
        "50 to 200",
        "75 to 300",
    ]
