"""What a parallel block refuses, and to whom its contexts belong."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from durable_core import (
    DurableContext,
    DurableEngine,
    EffectClass,
    step,
)
from durable_core.errors import (
    ConfigError,
    ExecutionError,
    StepCapExceeded,
)
from tests.engines import OpenEngine
from tests.programs import version
from tests.unit.engine.placing import place


async def steps_of(engine: DurableEngine, execution_id: Any) -> list[str]:
    rows = await engine.parts.backend.journal.read_execution(execution_id.bytes)
    return sorted({row.step_id for row in rows if row.step_id})


async def test_the_step_cap_counts_all_branches(open_engine: OpenEngine) -> None:
    """Of steps that cannot be folded."""

    @step(effect=EffectClass.EXACTLY_ONCE_GUARDED)
    async def charge(value: str) -> str:
        return value

    async def branch(ctx: DurableContext) -> int:
        count = 0
        try:
            while True:
                await ctx.step(charge, "x")
                count += 1
        except StepCapExceeded:
            return count

    async def body(ctx: DurableContext) -> int:
        await ctx.step(place, "x")
        async with ctx.parallel() as group:
            tasks = [group.start(branch) for _ in range(3)]
        return sum(task.result() for task in tasks)

    program = version(body)
    async with open_engine(program, max_steps_per_execution=12) as engine:
        assert await engine.run(program) == 12


async def test_a_context_belongs_to_its_branch(open_engine: OpenEngine) -> None:
    kept: list[DurableContext] = []
    leftover: list[asyncio.Task[str]] = []
    gate = asyncio.Event()

    async def branch(ctx: DurableContext) -> None:
        kept.append(ctx)
        await ctx.step(place, "mine")
        if ctx is not kept[0]:
            for use in (lambda: kept[0].step(place, "x"), kept[0].parallel, kept[0].now):
                with pytest.raises(ExecutionError, match="which has ended; a branch waits"):
                    use()
        if len(leftover) == 0:
            leftover.append(asyncio.create_task(late(ctx)))

    async def late(ctx: DurableContext) -> str:
        await gate.wait()
        return await ctx.step(place, "late")

    async def body(ctx: DurableContext) -> str:
        async with ctx.parallel() as group:
            group.start(branch)
            group.start(branch)
        gate.set()
        await asyncio.wait(leftover)
        with pytest.raises(ExecutionError, match="which has ended; a branch waits"):
            leftover[0].result()
        with pytest.raises(ExecutionError, match="which has ended; a branch waits"):
            _ = kept[0].step(place, "x")
        for draw in (kept[0].uuid, kept[0].random):
            with pytest.raises(ExecutionError, match="branch's own task"):
                draw()
        return "done"

    program = version(body)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        assert await handle.result(20) == "done"
        assert await steps_of(engine, handle.id) == ["0.0.0", "0.1.0"]


async def test_what_a_block_refuses(open_engine: OpenEngine) -> None:
    async def branch(_ctx: DurableContext) -> None: ...

    async def starts_siblings(ctx: DurableContext, group: Any) -> None:
        with pytest.raises(ExecutionError, match="in the body of its block"):
            group.start(branch)
        await ctx.step(place, "x")

    def plain(_ctx: DurableContext) -> str:
        return "no coroutine"

    async def elsewhere(ctx: DurableContext) -> None:
        with pytest.raises(ExecutionError, match="not the branch's own"):
            ctx.parallel()

    async def body(ctx: DurableContext) -> str:
        outside = ctx.parallel()
        with pytest.raises(ExecutionError, match="in the body of its block"):
            outside.start(branch)
        async with ctx.parallel() as group:
            wrong: Any = group
            with pytest.raises(TypeError):
                wrong.start(branch, "one too many")
            with pytest.raises(ConfigError, match="async def"):
                wrong.start(plain)
            with pytest.raises(ExecutionError, match="entered once"):
                await group.__aenter__()
            running = group.start(starts_siblings, group)
            with pytest.raises(ExecutionError, match="still runs"):
                running.result()
        with pytest.raises(ExecutionError, match="in the body of its block"):
            group.start(branch)
        await asyncio.create_task(elsewhere(ctx))
        return "done"

    program = version(body)
    async with open_engine(program) as engine:
        assert await (await engine.start(program)).result(20) == "done"


async def test_a_context_is_not_handed_on(open_engine: OpenEngine) -> None:
    """To a branch, from one to another while both run, or to another execution."""
    others: list[DurableContext] = []
    both = asyncio.Event()

    async def branch(ctx: DurableContext, outer: DurableContext) -> None:
        others.append(ctx)
        if len(others) == 2:
            both.set()
        await both.wait()
        (other,) = (each for each in others if each is not ctx)
        for given in (outer, other):
            for use in (given.parallel, given.now, lambda given=given: given.step(place, "x")):
                with pytest.raises(ExecutionError, match="by another branch; each branch uses"):
                    use()

    async def body(ctx: DurableContext) -> str:
        async with ctx.parallel() as group:
            group.start(branch, ctx)
            group.start(branch, ctx)
        others.append(ctx)
        return await ctx.step(place, "x")

    async def stranger(_ctx: DurableContext) -> str:
        for given in others:
            with pytest.raises(ExecutionError, match="has ended here"):
                _ = given.step(place, "x")
        return "refused"

    program, other = version(body), version(stranger, "stranger")
    async with open_engine(program, other) as engine:
        assert await (await engine.start(program)).result(20) == "x at 1"
        assert await (await engine.start(other)).result(20) == "refused"


async def test_a_block_is_entered_in_the_branch_s_own_task(open_engine: OpenEngine) -> None:
    async def enters(block: Any) -> None:
        with pytest.raises(ExecutionError, match="entered once, by the branch"):
            await block.__aenter__()

    async def body(ctx: DurableContext) -> str:
        block = ctx.parallel()
        await asyncio.create_task(enters(block))
        async with block:
            pass
        return "done"

    program = version(body)
    async with open_engine(program) as engine:
        assert await (await engine.start(program)).result(20) == "done"
