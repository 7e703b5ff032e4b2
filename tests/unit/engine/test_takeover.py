"""Taking over what a dead owner left: of many who ask at once, one claims, all get the result."""

from __future__ import annotations

import asyncio

import pytest

from durable_core import DurableContext, step
from tests.engines import AnyWorkflow, OpenEngine
from tests.programs import Stage, version

pytestmark = pytest.mark.dialects


async def orphaned(open_engine: OpenEngine, stage: Stage) -> AnyWorkflow:
    """An execution whose owner is gone; its program waits for the stage's gate once more."""

    @step(name="count")
    async def count() -> int:
        stage.calls.append("count")
        return len(stage.calls)

    async def body(ctx: DurableContext) -> int:
        value = await ctx.step(count)
        if not stage.gate.is_set():
            await stage.pause()
        return value

    program = version(body)
    async with open_engine(program) as engine:
        await engine.start(program, key="k")
        await stage.reached.wait()
    stage.gate.set()
    return program


async def test_many_waiters_of_one_engine_take_an_execution_over_once(
    open_engine: OpenEngine,
) -> None:
    stage = Stage()
    program = await orphaned(open_engine, stage)
    async with open_engine(program, recover=False) as engine:
        handle = await engine.start(program, key="k")
        assert await asyncio.gather(*[handle.result() for _ in range(8)]) == [1] * 8
        assert (await engine.list())[0].owner_epoch == 2
    assert stage.calls == ["count"]


async def test_waiters_of_several_engines_all_get_the_result(open_engine: OpenEngine) -> None:
    stage = Stage()
    program = await orphaned(open_engine, stage)
    async with (
        open_engine(program, recover=False) as one,
        open_engine(program, recover=False) as two,
    ):
        handles = [await engine.start(program, key="k") for engine in (one, two, one, two)]
        assert await asyncio.gather(*[handle.result() for handle in handles]) == [1] * 4
        await one.verify()
    assert stage.calls == ["count"]
