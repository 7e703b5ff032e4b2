"""A program that is interrupted leaves its executions running, whatever its event loop cancels."""

from __future__ import annotations

import asyncio
import gc
from typing import NoReturn

import pytest

from durable_core import DurableContext, EffectClass, step, workflow
from tests.engines import OpenEngine


@step(effect=EffectClass.IDEMPOTENT)
async def forever() -> None:
    await asyncio.get_running_loop().create_future()


@step(effect=EffectClass.IDEMPOTENT)
async def interrupting() -> None:
    raise KeyboardInterrupt


@workflow
async def waiting(ctx: DurableContext) -> str:
    try:
        await ctx.step(forever)
    except asyncio.CancelledError:
        return "caught"
    return "went on"


@workflow
async def interrupted(ctx: DurableContext) -> None:
    await ctx.step(interrupting)


async def status_of(open_engine: OpenEngine) -> list[str]:
    async with open_engine(recover=False) as engine:
        return [row.status for row in await engine.list()]


def test_what_waits_when_everything_is_cancelled_has_not_ended(open_engine: OpenEngine) -> None:
    async def program() -> NoReturn:
        async with open_engine(waiting) as engine:
            await engine.start(waiting)
            await asyncio.sleep(0)
            asyncio.get_running_loop().call_soon(stop)
            await asyncio.get_running_loop().create_future()
        raise AssertionError

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(program())
    gc.collect()  # or what is left complains in the middle of another test
    assert asyncio.run(status_of(open_engine)) == ["running"]


def test_a_workflow_that_interrupts_the_program_has_not_ended(open_engine: OpenEngine) -> None:
    async def program() -> None:
        async with open_engine(interrupted, close_timeout_ms=60_000) as engine:
            await (await engine.start(interrupted)).result()

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(program())
    gc.collect()  # or what is left complains in the middle of another test
    assert asyncio.run(status_of(open_engine)) == ["running"]
