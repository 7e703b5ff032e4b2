"""`ctx.checkpoint()` beside steps: a replay folds nothing, and shows the program the same."""

from __future__ import annotations

import asyncio

import pytest

from durable_core import DurableContext, step
from tests.engines import OpenEngine
from tests.holding import held, turns
from tests.programs import Stage, version
from tests.unit.engine.replaying import live_and_replayed

pytestmark = pytest.mark.dialects


@step(name="quick")
async def quick(number: int) -> int:
    return number


async def test_nobody_is_told_of_anything_while_a_checkpoint_folds(open_engine: OpenEngine) -> None:
    seen: list[bool] = []
    end = Stage()

    async def body(ctx: DurableContext) -> None:
        await ctx.step(quick, 0)
        task = asyncio.create_task(ctx.step(quick, 1))
        await ctx.checkpoint()
        seen.append(task.done())
        await task
        if not end.gate.is_set():
            await end.pause()

    program = version(body)
    async with open_engine(program) as engine:
        with held(engine.parts.backend.journal, "fold") as fold:
            handle = await engine.start(program)
            await fold.reached.wait()
            await turns(100)
            fold.gate.set()
            await end.reached.wait()
    end.gate.set()
    async with open_engine(program) as engine:
        await (await engine.get(handle.id)).result()
    assert seen == [False, False]


async def test_what_was_called_has_begun_behind_a_checkpoint(open_engine: OpenEngine) -> None:
    """So it is cancelled as it was, and asks for what it has journaled."""

    async def body(ctx: DurableContext) -> str:
        await ctx.step(quick, 0)
        task = asyncio.create_task(ctx.step(quick, 1))
        await ctx.checkpoint()
        task.cancel()
        await asyncio.wait({task})
        return "cancelled" if task.cancelled() else "done"

    assert await live_and_replayed(open_engine, body) == ["done", "done"]


async def test_a_limit_around_a_checkpoint_reaches_what_stands_behind(
    open_engine: OpenEngine,
) -> None:
    seen: list[str] = []
    scopes: list[asyncio.Timeout] = []
    end = Stage()

    async def body(ctx: DurableContext) -> None:
        await ctx.step(quick, 0)
        try:
            async with asyncio.timeout(0 if end.gate.is_set() else None) as scope:
                scopes.append(scope)
                await ctx.checkpoint()
                seen.append("folded")
                await ctx.step(quick, 1)
                seen.append("called")
        except TimeoutError:
            seen.append("too late")
        if not end.gate.is_set():
            await end.pause()

    program = version(body)
    async with open_engine(program) as engine:
        with held(engine.parts.backend.journal, "fold") as fold:
            handle = await engine.start(program)
            await fold.reached.wait()
            scopes[-1].reschedule(asyncio.get_running_loop().time())
            await turns()
            assert scopes[-1].expired()
            fold.gate.set()
            await end.reached.wait()
    end.gate.set()
    async with open_engine(program) as engine:
        await (await engine.get(handle.id)).result()
    assert seen == ["folded", "too late"] * 2
