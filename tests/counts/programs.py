"""The workflows whose cost is counted: steps that do nothing by themselves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from durable_core import (
    DurableContext,
    EffectClass,
    EffectIntentSubClass,
    OnAmbiguous,
    step,
    workflow,
)
from durable_core.engine.definition import Workflow

__all__ = [
    "KINDS",
    "Steps",
    "branches_and_then",
    "guarded_steps",
    "idempotent_steps",
    "steps_and_then",
]

Steps = Workflow[[int], int]
"""Takes how many steps to make, and returns the sum of their numbers."""


@step(
    effect=EffectClass.EXACTLY_ONCE_GUARDED,
    sub_class=EffectIntentSubClass.MONEY_MOVING,
    on_ambiguous=OnAmbiguous.FAIL,
)
async def charge(number: int) -> int:
    return number


@step(effect=EffectClass.IDEMPOTENT)
async def render(number: int) -> int:
    return number


KINDS: Final = {"guarded": charge, "idempotent": render}


@workflow
async def guarded_steps(ctx: DurableContext, steps: int) -> int:
    return sum([await ctx.step(charge, number) for number in range(steps)])


@workflow
async def idempotent_steps(ctx: DurableContext, steps: int) -> int:
    return sum([await ctx.step(render, number) for number in range(steps)])


def steps_and_then(
    at_end: Callable[[], Awaitable[object]], name: str = "idempotent", rounds: int = 1
) -> Steps:
    """Steps of that kind, and something that is not journaled behind them; so many times."""

    @workflow(name="steps_and_then")
    async def program(ctx: DurableContext, steps: int) -> int:
        total = 0
        for first in range(0, rounds * steps, steps):
            numbers = range(first, first + steps)
            total += sum([await ctx.step(KINDS[name], number) for number in numbers])
            await at_end()
        return total

    return program


def branches_and_then(at_end: Callable[[], Awaitable[object]], name: str, count: int) -> Steps:
    """Steps of that kind in so many branches at once, and something behind them."""

    async def branch(ctx: DurableContext, numbers: range) -> int:
        return sum([await ctx.step(KINDS[name], number) for number in numbers])

    @workflow(name="branches_and_then")
    async def program(ctx: DurableContext, steps: int) -> int:
        async with ctx.parallel() as group:
            branches = [group.start(branch, range(n, steps, count)) for n in range(count)]
        await at_end()
        return sum(each.result() for each in branches)

    return program
