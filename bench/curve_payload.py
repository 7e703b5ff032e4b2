"""Steps per second against the size of what each returns, from 100 B to 1 MiB."""

from __future__ import annotations

import time
from typing import Final

from bench.curves import Curve, point_of
from bench.engines import STEPS, fresh_engine, verified
from bench.figures import Unit
from bench.rounds import Plan, Sample, in_rounds
from bench.workload import in_lanes
from durable_core import (
    DurableConfig,
    DurableContext,
    EffectClass,
    EffectIntentSubClass,
    OnAmbiguous,
    step,
    workflow,
)
from durable_core.engine.definition import Workflow

__all__ = ["measure"]

_EACH: Final = {100: 20, 1 << 10: 20, 10 << 10: 10, 100 << 10: 4, 1 << 20: 1}
"""Bytes that a step returns → how many workflows each of those that run at once goes through."""

_AT_ONCE: Final = 10
_ROUNDS: Final = 5
_SUM: Final = sum(range(STEPS))
_CONFIG: Final = DurableConfig(max_payload_bytes=2 << 20)

Sized = Workflow[[int], int]


@step(
    effect=EffectClass.EXACTLY_ONCE_GUARDED,
    sub_class=EffectIntentSubClass.MONEY_MOVING,
    on_ambiguous=OnAmbiguous.FAIL,
)
async def buy(number: int, size: int) -> bytes:
    """An effect that is answered at length."""
    return bytes((number,)) * size


@step(effect=EffectClass.IDEMPOTENT)
async def fetch(number: int, size: int) -> bytes:
    """The same without harm."""
    return bytes((number,)) * size


@workflow
async def guarded_payloads(ctx: DurableContext, size: int) -> int:
    """Five guarded steps, one after the other; the sum of what they return."""
    return sum([_sum_of(await ctx.step(buy, number, size)) for number in range(STEPS)])


@workflow
async def idempotent_payloads(ctx: DurableContext, size: int) -> int:
    """Five idempotent steps, one after the other; the sum of what they return."""
    return sum([_sum_of(await ctx.step(fetch, number, size)) for number in range(STEPS)])


def _sum_of(value: bytes) -> int:
    """The sum of bytes that are all the same."""
    return len(value) * value[-1]


async def measure(plan: Plan) -> list[Curve]:
    """A line for each kind of step; what has to stay flat is the cost of a byte."""
    return [
        await _curve(plan, "guarded", guarded_payloads),
        await _curve(plan, "idempotent", idempotent_payloads),
    ]


async def _curve(plan: Plan, label: str, sized: Sized) -> Curve:
    samples = [_sample(plan, sized, size, plan.size(each, 1)) for size, each in _EACH.items()]
    rates = await in_rounds(plan.size(_ROUNDS, 3), samples)
    points = tuple(point_of(size, taken) for size, taken in zip(_EACH, rates, strict=True))
    what = f"{label} steps, {_AT_ONCE} at once"
    value, axis, unit = "steps per second", "bytes that a step returns", Unit.PER_SECOND
    return Curve("curve-payload", value, what, axis, unit, points, per="byte")


def _sample(plan: Plan, sized: Sized, size: int, each: int) -> Sample:
    async def sample() -> float:
        async with fresh_engine(plan, [sized], config=_CONFIG) as engine:

            async def one() -> None:
                assert await engine.run(sized, size) == size * _SUM, "a workflow's result is wrong"

            began = time.perf_counter()
            await in_lanes(one, _AT_ONCE * each, _AT_ONCE)
            took = time.perf_counter() - began
            await verified(engine, _AT_ONCE * each)
        return _AT_ONCE * each * STEPS / took

    return sample
