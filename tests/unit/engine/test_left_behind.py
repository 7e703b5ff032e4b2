"""What ended executions leave in memory: nothing that only the garbage collector could free."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from durable_core import DurableContext, EffectClass, step, workflow
from durable_core.engine.execution import Execution
from durable_core.engine.run import Run
from durable_core.engine.strand import Strand
from durable_core.errors import ExecutionError
from tests.engines import AnyWorkflow, OpenEngine

GUARDED = EffectClass.EXACTLY_ONCE_GUARDED


@contextmanager
def uncollected() -> Iterator[None]:
    """A block in which objects are freed only when nobody refers to them any more."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def alive() -> list[object]:
    return [one for one in gc.get_objects() if isinstance(one, Execution | Run | Strand)]


@step(effect=EffectClass.IDEMPOTENT)
async def render(number: int) -> int:
    return number


@step(effect=GUARDED)
async def charge(number: int) -> int:
    await asyncio.sleep(0)
    return number


@workflow
async def plain(ctx: DurableContext) -> int:
    return await ctx.step(render, 1)


@workflow
async def waiting(ctx: DurableContext) -> int:
    return await ctx.step(charge, 1) + await ctx.step(charge, 2)


@workflow
async def forking(ctx: DurableContext) -> int:
    first = ctx.step(render, 1)
    async with ctx.parallel() as group:
        second = group.start(branch)
    return sum(await asyncio.gather(first, ctx.step(charge, 2))) + second.result()


async def branch(ctx: DurableContext) -> int:
    return await ctx.step(render, 3)


@pytest.mark.parametrize(("program", "result"), [(plain, 1), (waiting, 3), (forking, 6)], ids=str)
async def test_an_ended_execution_is_freed_without_the_collector(
    open_engine: OpenEngine, program: AnyWorkflow, result: int
) -> None:
    async with open_engine(plain, waiting, forking) as engine:
        await engine.run(plain)
        with uncollected():
            before = alive()
            assert await engine.run(program) == result
            # The watch may hold what it looks at for a moment; a cycle stays for good.
            async with asyncio.timeout(20):
                while any(one not in before for one in alive()):  # noqa: ASYNC110
                    await asyncio.sleep(0)


async def test_who_keeps_the_context_of_an_ended_execution_is_told_so(
    open_engine: OpenEngine,
) -> None:
    kept: list[DurableContext] = []

    @workflow
    async def keeping(ctx: DurableContext) -> None:
        kept.append(ctx)
        await ctx.step(render, 1)

    async with open_engine(keeping) as engine:
        await engine.run(keeping)
        (context,) = kept
        assert not context.is_replaying
        for use in (
            lambda: context.step(render, 2),
            context.random,
            context.checkpoint,
            lambda: context.sleep(1),
            lambda: context.receive("name", int),
            lambda: context.promise(int, name="name"),
            context.parallel,
            context.continue_as_new,
        ):
            with pytest.raises(ExecutionError):
                use()
