"""INV-2: step ids are structural: assigned when `step()` is called, never at completion."""

from __future__ import annotations

import asyncio

from durable_core import DurableContext, step
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


async def test_a_step_of_another_task_takes_no_position(open_engine: OpenEngine) -> None:
    """When it is called is chance; its id says what it is, not when."""

    async def body(ctx: DurableContext) -> list[str]:
        async def helper() -> str:
            return await ctx.step(named, "a")

        helping = asyncio.create_task(helper())
        return [await ctx.step(named, "b"), await helping, await ctx.step(named, "c")]

    program = version(body)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        assert await handle.result() == ["b", "a", "c"]
        rows = await engine.parts.backend.journal.read_execution(handle.id.bytes)
    ids = sorted(row.step_id for row in rows if row.step_id)
    assert ids[:2] == ["0", "1"]
    (content,) = [row for row in rows if row.step_id.startswith("~")]
    assert content.fingerprint is not None
    assert content.step_id == f"~{content.fingerprint.hex()[:16]}.0"


async def test_branches_count_for_themselves(open_engine: OpenEngine) -> None:
    """Whichever is faster."""
    first = asyncio.Event()

    async def slow() -> str:
        await first.wait()
        return "slow"

    async def branch(ctx: DurableContext, name: str) -> list[str]:
        if name == "slow":
            return [await ctx.step(slow), await ctx.step(named, name)]
        seen = [await ctx.step(named, name), await ctx.step(named, name)]
        first.set()
        return seen

    async def body(ctx: DurableContext) -> list[list[str]]:
        async with ctx.parallel() as group:
            tasks = [group.start(branch, name) for name in ("slow", "quick")]
        return [task.result() for task in tasks]

    program = version(body)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        assert await handle.result() == [["slow"] * 2, ["quick"] * 2]
        rows = await engine.parts.backend.journal.read_execution(handle.id.bytes)
    by_completion = [row.step_id for row in rows if row.step_id]
    assert by_completion == ["0.1.0", "0.1.1", "0.0.0", "0.0.1"]
