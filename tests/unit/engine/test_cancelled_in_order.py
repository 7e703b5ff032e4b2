"""What the workflow cancels is over in the order of the journal, live and replayed alike."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from durable_core import DurableContext, step
from tests.engines import OpenEngine
from tests.unit.engine.replaying import live_and_replayed

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
    gate = asyncio.Event()

    @step(name="gated")
    async def gated(_number: int) -> None:
        await gate.wait()

    async def body(ctx: DurableContext) -> list[str]:
        cancelled = asyncio.create_task(CANCELLED[case](ctx), name="cancelled")
        beside = ctx.step(gated, 1)
        ended = asyncio.create_task(ctx.step(gated, 2), name="ended")
        asyncio.get_running_loop().call_later(0, gate.set)
        await beside  # both are journaled when this one is told
        cancelled.cancel()
        order: list[str] = []
        pending = {cancelled, ended}
        while pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            order.append(" and ".join(sorted(task.get_name() for task in done)))
        return order

    assert await live_and_replayed(open_engine, body) == [["ended", "cancelled"]] * 2
