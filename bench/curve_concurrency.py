"""Steps per second against how many workflows run at once, from 1 to 10,000."""

from __future__ import annotations

from typing import Final

from bench.collector import RELIEVED
from bench.curves import Curve, point_of
from bench.engines import guarded_five, idempotent_five
from bench.figures import Unit
from bench.fives import PATIENT, Five, rate_of, with_relief
from bench.rounds import Plan, in_rounds

__all__ = ["measure"]

_WORKFLOWS: Final = {1: 200, 10: 500, 100: 1000, 1000: 2000, 10_000: 10_000}
"""How many workflows at once → how many there are in a round."""

_QUICK: Final = {1: 50, 10: 100, 100: 300, 1000: 1000}
_ROUNDS: Final = 3


async def measure(plan: Plan) -> list[Curve]:
    """A line for each kind of step, in workflows of five; each sample on a journal of its own.

    And one of guarded steps with the collector set as docs/scaling.md says.
    """
    return [
        await _curve(plan, "guarded steps", guarded_five),
        await _curve(plan, "idempotent steps", idempotent_five),
        await _curve(plan, f"guarded steps, {RELIEVED}", guarded_five, relief=True),
    ]


async def _curve(plan: Plan, what: str, five: Five, *, relief: bool = False) -> Curve:
    sizes = _QUICK if plan.quick else _WORKFLOWS
    samples = [
        rate_of(plan, five, workflows, at_once, PATIENT) for at_once, workflows in sizes.items()
    ]
    if relief:
        samples = [with_relief(sample) for sample in samples]
    await samples[0]()  # what is made once, by whoever comes first
    rates = await in_rounds(_ROUNDS, samples, uncounted=0)
    points = tuple(point_of(at_once, taken) for at_once, taken in zip(sizes, rates, strict=True))
    axis = "workflows at once"
    return Curve("curve-concurrency", "steps per second", what, axis, Unit.PER_SECOND, points)
