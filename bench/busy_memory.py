"""What workflows take in memory while they run, against how many run at once."""

from __future__ import annotations

from typing import Final

from bench.curves import Curve, point_of
from bench.engines import charge, fresh_engine, verified
from bench.figures import Unit, number
from bench.fives import PATIENT
from bench.memory import traced
from bench.rounds import Plan
from bench.workload import in_lanes
from durable_core import DurableContext, workflow

__all__ = ["measure"]

_AT_ONCE: Final = (1, 10, 100, 1000, 10_000)
_QUICK: Final = (1, 10, 100, 1000)
_FEWEST: Final = 20
_FIRST: Final = 7
_MIB: Final = 1 << 20
_KIB: Final = 1 << 10


@workflow
async def guarded_one(ctx: DurableContext, first: int) -> int:
    """One guarded step; its number."""
    return (await ctx.step(charge, first))[-1]


async def measure(plan: Plan) -> list[Curve]:
    """The most that Python has allocated at once, beyond an engine that has nothing to do."""
    sizes = _QUICK if plan.quick else _AT_ONCE
    peaks = [await _peak(plan, at_once) for at_once in sizes]
    points = tuple(
        point_of(at_once, [peak / _MIB]) for at_once, peak in zip(sizes, peaks, strict=True)
    )
    note = f"{number(peaks[-1] / sizes[-1] / _KIB)} KiB for each of {sizes[-1]:,}"
    value, what, axis = "memory", "guarded steps under way", "workflows at once"
    unit, per = Unit.MEBIBYTES, "workflow"
    return [Curve("curve-memory", value, what, axis, unit, points, per=per, note=note)]


async def _peak(plan: Plan, at_once: int) -> float:
    workflows = max(at_once, _FEWEST)
    async with fresh_engine(plan, [guarded_one], config=PATIENT) as engine:

        async def one() -> None:
            assert await engine.run(guarded_one, _FIRST) == _FIRST, "a workflow's result is wrong"

        await in_lanes(one, _FEWEST, 1)  # what is made once, by whoever comes first
        with traced() as allocated:
            before = allocated.now
            allocated.reset_peak()
            await in_lanes(one, workflows, at_once)
            peak = allocated.peak - before
        await verified(engine, _FEWEST + workflows)
    return peak
