"""What the workflow cancels is over in the order of the journal, live and replayed alike."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from durable_core import DurableContext, step
from tests.engines import OpenEngine
from tests.programs import Stage, version

pytestmark = pytest.mark.dialects

HOUR = 3600


@step(name="forever")
async def forever() -> None:
    await asyncio.Event().wait()


CANCELLED: dict[str, Callable[[DurableContext], Coroutine[Any, Any, Any]]] = {
    "a sleep": lambda ctx: ctx.sleep(HOUR),
    "a step": lambda ctx: ctx.step(forever),
}


@pytest.mark.parametrize("case", CANCELLED)
async def test_what_ended_before_a_cancellation_is_told_before_it(
    open_engine: OpenEngine, case: str
) -> None:
    orders: list[list[str]] = []
    gate, end = asyncio.Event(), Stage()

    @step(name="gated")
    async def gated(_number: int) -> None:
        await gate.wait()

    async def body(ctx: DurableContext) -> None:
        cancelled = asyncio.create_task(CANCELLED[case](ctx), name="cancelled")
        beside = ctx.step(gated, 1)
        ended = asyncio.create_task(ctx.step(gated, 2), name="ended")
        asyncio.get_running_loop().call_later(0, gate.set)
        await beside  # both are journaled when this one is told
        cancelled.cancel()
        order: list[str] = []
        orders.append(order)
        pending = {cancelled, ended}
        while pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            order.append(" and ".join(sorted(task.get_name() for task in done)))
        if not end.gate.is_set():
            await end.pause()

    program = version(body)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        await end.reached.wait()
    end.gate.set()
    async with open_engine(program) as engine:
        await (await engine.get(handle.id)).result(timeout=5)
    assert orders == [["ended", "cancelled"]] * 2
