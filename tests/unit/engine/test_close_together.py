"""Steps that end close together: a program sees them as a replay will show them (INV-3)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from durable_core import DurableContext, EffectClass, OnAmbiguous, step
from tests.engines import OpenEngine
from tests.unit.engine.replaying import live_and_replayed


@step(name="plain")
async def plain(number: int) -> int:
    return number


@step(name="guarded", effect=EffectClass.EXACTLY_ONCE_GUARDED, on_ambiguous=OnAmbiguous.FAIL)
async def guarded(number: int) -> int:
    return number


@pytest.mark.parametrize("chosen", [plain, guarded])
async def test_steps_that_end_in_one_turn_are_seen_one_by_one(
    chosen: Callable[[int], Awaitable[int]],
    open_engine: OpenEngine,
) -> None:
    async def body(ctx: DurableContext) -> int:
        tasks = [asyncio.create_task(ctx.step(chosen, number)) for number in range(3)]
        done, rest = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait(rest)
        return len(done)

    assert await live_and_replayed(open_engine, body) == [1, 1]


async def test_a_guarded_result_keeps_its_place_before_a_plain_one(open_engine: OpenEngine) -> None:
    """It has the longer way to the program, which must not let the other one overtake it."""
    release = asyncio.Event()
    begun = asyncio.Event()

    @step(name="charge", effect=EffectClass.EXACTLY_ONCE_GUARDED, on_ambiguous=OnAmbiguous.FAIL)
    async def charge() -> str:
        begun.set()
        await release.wait()
        return "charged"

    @step(name="look")
    async def look() -> str:
        await release.wait()
        return "looked"

    async def body(ctx: DurableContext) -> list[str]:
        seen: list[str] = []

        async def helper(number: int) -> None:
            seen.append(await calls[number])

        calls = [ctx.step(charge), ctx.step(look)]
        paying = asyncio.create_task(helper(0))
        if not release.is_set():
            await begun.wait()
            asyncio.get_running_loop().call_soon(release.set)
        await asyncio.gather(paying, helper(1))
        return seen

    live, replayed = await live_and_replayed(open_engine, body)
    assert live == replayed


@pytest.mark.parametrize("seed", range(8))
async def test_any_mixture_of_ends_is_seen_in_the_same_order(
    seed: int,
    open_engine: OpenEngine,
) -> None:
    """Guarded and plain steps that wait for the same events, seen through helpers of any depth."""
    gates = [asyncio.Event() for _ in range(3)]

    @step(name="plain wait")
    async def plain_wait(number: int) -> int:
        await gates[number % 3].wait()
        return number

    @step(name="sure wait", effect=EffectClass.EXACTLY_ONCE_GUARDED, on_ambiguous=OnAmbiguous.FAIL)
    async def sure_wait(number: int) -> int:
        await gates[number * seed % 3].wait()
        return number

    async def body(ctx: DurableContext) -> list[int]:
        seen: list[int] = []

        async def deep(depth: int, number: int) -> None:
            if depth:
                await asyncio.wait_for(deep(depth - 1, number), 60)
            else:
                seen.append(await calls[number])

        steps = [(plain_wait, sure_wait)[number * (seed + 1) % 5 % 2] for number in range(8)]
        calls = [ctx.step(one, number) for number, one in enumerate(steps)]
        loop = asyncio.get_running_loop()
        for gate in gates:
            loop.call_later(0.01, gate.set)
        await asyncio.gather(*(deep(number * seed % 3, number) for number in range(8)))
        return seen

    live, replayed = await live_and_replayed(open_engine, body)
    assert live == replayed
    assert isinstance(live, list)
    assert sorted(live) == list(range(8))
