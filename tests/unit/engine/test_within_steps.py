"""What the function of a step may ask of the engine: nothing that a replay would not ask."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable
from typing import Any

import pytest

from durable_core import (
    DurableContext,
    DurableEngine,
    EffectClass,
    OnAmbiguous,
    RetryPolicy,
    current_step,
    step,
)
from durable_core.errors import ExecutionCancelled, ExecutionError, StepFailed
from tests.engines import OpenEngine
from tests.programs import version
from tests.unit.engine.replaying import live_and_replayed

ASKED: dict[str, Callable[[DurableContext], Any]] = {
    "a step": lambda ctx: ctx.step(current_name),
    "the time": lambda ctx: ctx.now(),
    "a random number": lambda ctx: ctx.random(),
    "a uuid": lambda ctx: ctx.uuid(),
}


async def current_name() -> str:
    return current_step().name


@pytest.mark.parametrize("what", ASKED)
async def test_a_step_takes_nothing_from_the_context(what: str, open_engine: OpenEngine) -> None:
    """It would count live and not on replay, where the function is not called."""

    async def body(ctx: DurableContext) -> list[str]:
        async def ask() -> str:
            with pytest.raises(ExecutionError, match="step"):
                ASKED[what](ctx)
            return "refused"

        return [await ctx.step(ask), str(ctx.uuid())]

    live, replayed = await live_and_replayed(open_engine, body)
    assert live == replayed
    assert isinstance(live, list)
    assert live[0] == "refused"


@pytest.mark.parametrize("guarded", [False, True])
async def test_a_step_may_cancel_its_own_execution(
    *,
    guarded: bool,
    open_engine: OpenEngine,
) -> None:
    engines: list[DurableEngine] = []
    after: list[str] = []

    async def give_up() -> None:
        await engines[0].cancel(current_step().execution_id)
        after.append("went on")
        await asyncio.sleep(0)
        after.append("to its end")

    effect = EffectClass.EXACTLY_ONCE_GUARDED if guarded else EffectClass.IDEMPOTENT
    policy = OnAmbiguous.FAIL if guarded else None
    giving_up = step(name="give up", effect=effect, on_ambiguous=policy)(give_up)

    async def body(ctx: DurableContext) -> None:
        await ctx.step(giving_up)

    program = version(body)
    async with open_engine(program) as engine:
        engines.append(engine)
        handle = await engine.start(program)
        with pytest.raises(ExecutionCancelled):
            await handle.result(20)
    assert after == ["went on", "to its end"][: 1 + guarded]


async def test_a_step_behind_one_that_outlasted_a_cancellation_is_cancelled(
    open_engine: OpenEngine,
) -> None:
    begun, release = asyncio.Event(), asyncio.Event()
    slow_begun = asyncio.Event()

    @step(name="charge", effect=EffectClass.EXACTLY_ONCE_GUARDED, on_ambiguous=OnAmbiguous.FAIL)
    async def charge() -> None:
        begun.set()
        await release.wait()

    @step(name="endless")
    async def endless() -> None:
        slow_begun.set()
        await asyncio.get_running_loop().create_future()

    async def body(ctx: DurableContext) -> str:
        calls = [ctx.step(charge), ctx.step(endless)]

        async def worker() -> None:
            for call in calls:
                await call

        task = asyncio.create_task(worker())
        await begun.wait()
        task.cancel()
        release.set()
        await slow_begun.wait()
        return "done"

    program = version(body)
    async with open_engine(program) as engine:
        assert await (await engine.start(program)).result(20) == "done"


async def test_a_cancellation_that_a_function_answers_with_an_error_is_not_retried(
    open_engine: OpenEngine,
) -> None:
    calls: list[str] = []
    begun = asyncio.Event()

    @step(name="stubborn", retry=RetryPolicy(attempts=5, initial=0))
    async def stubborn() -> None:
        calls.append("called")
        begun.set()
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            raise LookupError from None

    async def body(ctx: DurableContext) -> str:
        task = asyncio.create_task(ctx.step(stubborn))
        if not calls:
            await begun.wait()
            task.cancel()
        await asyncio.wait({task})
        error = task.exception()
        return error.error_type if isinstance(error, StepFailed) else "other"

    assert await live_and_replayed(open_engine, body) == ["LookupError"] * 2
    assert calls == ["called"]


async def test_a_plain_wrapper_around_a_coroutine_function_is_called_in_a_thread(
    open_engine: OpenEngine,
) -> None:
    """It may run the function in a loop of its own, as bridges to synchronous code do."""
    threads: list[threading.Thread] = []

    async def pay() -> str:
        return "paid"

    @step(name="pay", effect=EffectClass.EXACTLY_ONCE_GUARDED, on_ambiguous=OnAmbiguous.FAIL)
    @functools.wraps(pay)
    def paying() -> str:
        threads.append(threading.current_thread())
        return asyncio.run(pay())

    async def body(ctx: DurableContext) -> str:
        return await ctx.step(paying)

    assert await live_and_replayed(open_engine, body) == ["paid", "paid"]
    assert threads
    assert threads != [threading.main_thread()]


async def test_guarded_functions_may_wait_for_the_same_thing(open_engine: OpenEngine) -> None:
    """Whose first turn is the same, since one commit made both intents durable."""
    shared: list[asyncio.Future[str]] = []

    @step(name="charge", effect=EffectClass.EXACTLY_ONCE_GUARDED, on_ambiguous=OnAmbiguous.FAIL)
    async def charge() -> str:
        loop = asyncio.get_running_loop()
        if not shared:
            shared.append(loop.create_future())
            loop.call_later(0.01, shared[0].set_result, "connected")
        return await shared[0]

    async def body(ctx: DurableContext) -> list[str]:
        return list(await asyncio.gather(*(ctx.step(charge) for _ in range(4))))

    program = version(body)
    async with open_engine(program) as engine:
        assert await engine.run(program) == ["connected"] * 4
