"""Children and promises of branches and helpers: their ids are derived from where they stand."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from durable_core import DurableContext, DurableEngine, workflow
from durable_core.errors import ExecutionCancelled
from tests.engines import OpenEngine
from tests.programs import version
from tests.unit.engine.replaying import live_and_replayed


@workflow(name="child")
async def child(_ctx: DurableContext, endless: bool) -> str:  # noqa: FBT001 - a workflow's argument
    if endless:
        await asyncio.Event().wait()
    return "done"


async def start(ctx: DurableContext, endless: bool) -> str:  # noqa: FBT001
    return str((await ctx.start_child(child, endless)).id)


async def start_everywhere(ctx: DurableContext, *, endless: bool) -> list[list[str]]:
    """Equal children of the root, of two helpers, of two branches, and of a helper of each."""

    async def branch(ctx: DurableContext) -> list[str]:
        return [await start(ctx, endless), *(await asyncio.gather(start(ctx, endless)))]

    helpers = [asyncio.create_task(start(ctx, endless)) for _ in range(2)]
    own = await start(ctx, endless)
    async with ctx.parallel() as group:
        branches = [group.start(branch) for _ in range(2)]
    of_helpers = sorted([await helper for helper in helpers])
    return [[own], of_helpers, *(task.result() for task in branches)]


async def children_of(engine: DurableEngine) -> list[Any]:
    return await engine.list(workflow="child", limit=1000)


async def test_equal_children_are_told_apart(open_engine: OpenEngine) -> None:
    async def body(ctx: DurableContext) -> list[list[str]]:
        return await start_everywhere(ctx, endless=False)

    def opening(*workflows: Any, **settings: Any) -> Any:
        return open_engine(*workflows, child, **settings)

    live, replayed = await live_and_replayed(opening, body)
    assert live == replayed
    assert isinstance(live, list)
    assert len({each for group in live for each in group}) == 7
    async with open_engine(child) as engine:
        assert len(await children_of(engine)) == 7


async def test_a_parent_that_is_cancelled_cancels_all_of_them(open_engine: OpenEngine) -> None:
    started = asyncio.Event()

    async def body(ctx: DurableContext) -> None:
        await start_everywhere(ctx, endless=True)
        started.set()
        await asyncio.Event().wait()

    program = version(body)
    async with open_engine(program, child) as engine:
        handle = await engine.start(program)
        await started.wait()
        await handle.cancel()
        with pytest.raises(ExecutionCancelled):
            await handle.result(20)
        rows = await children_of(engine)
    assert [row.status for row in rows] == ["cancelled"] * 7


async def test_promises_of_one_name_belong_to_their_branches(open_engine: OpenEngine) -> None:
    async def branch(ctx: DurableContext) -> list[bytes]:
        promises = [await ctx.promise(str, name="word") for _ in range(2)]
        return [promise.token for promise in promises]

    async def body(ctx: DurableContext) -> list[list[bytes]]:
        async with ctx.parallel() as group:
            tasks = [group.start(branch) for _ in range(2)]
        return [await branch(ctx), *(task.result() for task in tasks)]

    live, replayed = await live_and_replayed(open_engine, body)
    assert live == replayed
    assert isinstance(live, list)
    assert len({token for tokens in live for token in tokens}) == 6
