"""INV-2: step ids are structural: assigned when `step()` is called, never at completion."""

from __future__ import annotations

import asyncio

import pytest

from durable_core import DurableContext, step
from durable_core.errors import ExecutionError, ExecutionFailed
from tests.engines import OpenEngine
from tests.programs import Stage, version


@step
async def named(name: str) -> str:
    return name


async def test_ids_follow_the_calls_whatever_finishes_first(open_engine: OpenEngine) -> None:
    first, second = asyncio.Event(), asyncio.Event()

    @step
    async def slow() -> str:
        await first.wait()
        return "slow"

    @step
    async def quick() -> str:
        second.set()
        return "quick"

    async def body(ctx: DurableContext) -> list[str]:
        return list(await asyncio.gather(ctx.step(slow), ctx.step(quick)))

    program = version(body)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        await second.wait()
        first.set()
        assert await handle.result() == ["slow", "quick"]
        rows = await engine.parts.backend.journal.read_execution(handle.id.bytes)
    by_completion = [row.step_id for row in rows if row.step_id]
    assert by_completion == ["1", "0"]


async def test_each_gets_its_own_result_when_the_order_of_awaiting_changes(
    open_engine: OpenEngine,
) -> None:
    stage = Stage()

    async def forward(ctx: DurableContext) -> str:
        a, b = ctx.step(named, "a"), ctx.step(named, "b")
        result = await a + await b
        await stage.pause()
        return result

    async def backward(ctx: DurableContext) -> str:
        a, b = ctx.step(named, "a"), ctx.step(named, "b")
        second = await b
        return await a + second

    program = version(forward)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        await stage.reached.wait()
    async with open_engine(version(backward)) as engine:
        resumed = await engine.get(handle.id)
        assert await resumed.result() == "ab"


async def test_a_step_of_a_foreign_task_is_refused(open_engine: OpenEngine) -> None:
    async def body(ctx: DurableContext) -> None:
        async def helper() -> str:
            return await ctx.step(named, "a")

        await asyncio.create_task(helper())

    program = version(body)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        with pytest.raises(ExecutionFailed) as failed:
            await handle.result()
    assert isinstance(failed.value.__cause__, ExecutionError)
    assert "not the workflow's own" in failed.value.message
