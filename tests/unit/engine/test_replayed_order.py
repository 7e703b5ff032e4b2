"""Steps side by side: which came first, and who was cancelled then, is the same on replay."""

from __future__ import annotations

import asyncio

import pytest

from durable_core import DurableContext, EffectClass, OnAmbiguous, step
from durable_core.errors import StepFailed
from tests.engines import OpenEngine
from tests.unit.engine.replaying import live_and_replayed


class Pair:
    """Two steps at once; `slow` has begun before `quick` ends, and ends when the test says so."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.release = asyncio.Event()
        begun = asyncio.Event()

        async def slowly(name: str) -> str:
            self.calls.append(name)
            begun.set()
            await self.release.wait()
            return name

        @step(name="slow")
        async def slow() -> str:
            return await slowly("slow")

        @step(name="pay", effect=EffectClass.EXACTLY_ONCE_GUARDED, on_ambiguous=OnAmbiguous.FAIL)
        async def pay() -> str:
            return await slowly("pay")

        @step(name="slow failure")
        async def slow_failure() -> None:
            raise KeyError(await slowly("slow failure"))

        @step(name="quick")
        async def quick() -> str:
            await begun.wait()
            self.calls.append("quick")
            return "quick"

        @step(name="quick failure")
        async def quick_failure() -> None:
            await begun.wait()
            raise ValueError

        self.slow, self.pay, self.slow_failure = slow, pay, slow_failure
        self.quick, self.quick_failure = quick, quick_failure


async def test_a_background_step_cancelled_after_another_step(open_engine: OpenEngine) -> None:
    pair = Pair()

    async def body(ctx: DurableContext) -> bool:
        task = asyncio.create_task(ctx.step(pair.slow))
        await ctx.step(pair.quick)
        task.cancel()
        await asyncio.wait({task})
        return task.cancelled()

    assert await live_and_replayed(open_engine, body) == [True, True]
    assert pair.calls == ["slow", "quick"]


async def test_a_background_step_of_a_group_whose_body_fails(open_engine: OpenEngine) -> None:
    pair = Pair()

    async def body(ctx: DurableContext) -> str:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(ctx.step(pair.slow))
                await ctx.step(pair.quick_failure)
        except ExceptionGroup as failed:
            return str([type(error).__name__ for error in failed.exceptions])
        return "no error"

    assert await live_and_replayed(open_engine, body) == ["['StepFailed']"] * 2
    assert pair.calls == ["slow"]


async def test_ec_32c_a_guarded_background_step_that_has_begun(open_engine: OpenEngine) -> None:
    pair = Pair()

    async def body(ctx: DurableContext) -> str:
        task = asyncio.create_task(ctx.step(pair.pay))
        await ctx.step(pair.quick)
        task.cancel()
        pair.release.set()
        try:
            return await task
        except asyncio.CancelledError:
            return "cancelled"

    assert await live_and_replayed(open_engine, body) == ["pay", "pay"]
    assert pair.calls == ["pay", "quick"]


@pytest.mark.parametrize("done", [False, True])
async def test_whether_a_background_step_is_done(open_engine: OpenEngine, *, done: bool) -> None:
    pair = Pair()

    async def body(ctx: DurableContext) -> str:
        background, foreground = pair.slow, pair.quick
        if done:
            background, foreground = foreground, background
        task = asyncio.create_task(ctx.step(background))
        if done:
            task.add_done_callback(lambda _: pair.release.set())
        await ctx.step(foreground)
        seen = f"{task.done()}"
        pair.release.set()
        return f"{seen}, {await task}"

    expected = "True, quick" if done else "False, slow"
    assert await live_and_replayed(open_engine, body) == [expected] * 2
    assert sorted(pair.calls) == ["quick", "slow"]


@pytest.mark.parametrize("order", [1, -1])
async def test_which_of_two_failures_a_gather_raises(order: int, open_engine: OpenEngine) -> None:
    pair = Pair()

    async def body(ctx: DurableContext) -> str:
        both = (pair.slow_failure, pair.quick_failure)
        tasks = [asyncio.create_task(ctx.step(each)) for each in both[::order]]
        try:
            await asyncio.gather(*tasks)
        except StepFailed as failed:
            pair.release.set()
            await asyncio.wait(tasks)
            return failed.step
        return "none"

    assert await live_and_replayed(open_engine, body) == ["quick failure"] * 2
    assert pair.calls == ["slow failure"]


@pytest.mark.parametrize("order", [1, -1])
async def test_which_of_two_results_comes_first(order: int, open_engine: OpenEngine) -> None:
    pair = Pair()

    async def body(ctx: DurableContext) -> list[str]:
        both = (pair.slow, pair.quick)
        tasks = [asyncio.create_task(ctx.step(each)) for each in both[::order]]
        first, rest = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        pair.release.set()
        second, _ = await asyncio.wait(rest)
        return [task.result() for task in (*first, *second)]

    assert await live_and_replayed(open_engine, body) == [["quick", "slow"]] * 2
    assert pair.calls == ["slow", "quick"]


async def test_in_which_order_steps_are_completed(open_engine: OpenEngine) -> None:
    pair = Pair()

    async def body(ctx: DurableContext) -> list[str]:
        seen = []
        for step_ in asyncio.as_completed([ctx.step(pair.slow), ctx.step(pair.quick)]):
            seen.append(await step_)
            pair.release.set()
        return seen

    assert await live_and_replayed(open_engine, body) == [["quick", "slow"]] * 2
    assert pair.calls == ["slow", "quick"]


async def test_a_thousand_recorded_steps_at_once(open_engine: OpenEngine) -> None:
    calls: list[int] = []

    @step(name="number")
    async def number(value: int) -> int:
        calls.append(value)
        return value

    async def body(ctx: DurableContext) -> int:
        return sum(await asyncio.gather(*(ctx.step(number, value) for value in range(1000))))

    expected = sum(range(1000))
    assert await live_and_replayed(open_engine, body) == [expected, expected]
    assert sorted(calls) == list(range(1000))
