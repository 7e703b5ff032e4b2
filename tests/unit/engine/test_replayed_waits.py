"""A wait beside steps on replay: who was told first is told first, wherever segments begin."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from durable_core import DurableContext, DurablePromise, step
from tests.engines import OpenEngine
from tests.holding import turns
from tests.programs import Stage, version

pytestmark = pytest.mark.dialects

SEGMENT = 2


class ReadAhead:
    """Reads of a journal: each third segment of four comes `soon`, and the others do not."""

    def __init__(self, journal: Any, soon: int) -> None:
        self._soon = soon
        self._read = journal.read_execution_range
        self._ahead: dict[int, Any] = {}
        journal.read_execution_range = self.read

    async def read(self, execution_id: bytes, after: int, limit: int) -> Any:
        rows = self._ahead.pop(after, None)
        if rows is not None:
            await turns(self._soon)
        else:
            await turns(100)
            rows = await self._read(execution_id, after, limit)
            if after % (4 * SEGMENT) == SEGMENT:
                ahead = after + SEGMENT
                self._ahead[ahead] = await self._read(execution_id, ahead, SEGMENT)
        return rows


@pytest.mark.parametrize("soon", range(6))
async def test_the_end_of_a_wait_is_told_before_what_was_read_with_it(
    open_engine: OpenEngine, soon: int
) -> None:
    orders: list[list[str]] = []
    gate, end = asyncio.Event(), Stage()

    @step(name="first")
    async def first() -> None:
        pass

    @step(name="last")
    async def last() -> None:
        await gate.wait()

    async def body(ctx: DurableContext) -> None:
        promise: DurablePromise[str] = await ctx.promise(str, name="never")
        awaited = {
            "wait": ctx.await_promise(promise, timeout=0.01),
            "first": ctx.step(first),
            "last": ctx.step(last),
        }
        pending = {asyncio.create_task(each, name=name) for name, each in awaited.items()}
        order: list[str] = []
        orders.append(order)
        while pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            order.extend(sorted(task.get_name() for task in done))
            for task in done:
                task.exception()
            if "wait" in order:
                gate.set()
        for _ in range(2 * SEGMENT):
            await ctx.step(first)
        if not end.gate.is_set():
            await end.pause()

    program = version(body)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        await end.reached.wait()
    end.gate.set()
    async with open_engine(program, recover=False, replay_segment=SEGMENT) as engine:
        ReadAhead(engine.parts.backend.journal, soon)
        await (await engine.resume(handle.id)).result()
    assert orders == [["first", "wait", "last"]] * 2
