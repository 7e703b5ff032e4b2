"""Many executions that are run at once begin as fast as the journal carries what they do."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from durable_core import DurableContext, step, workflow
from durable_core.errors import ExecutionError
from tests.engines import OpenEngine
from tests.holding import held, turns

pytestmark = pytest.mark.dialects

CROWD = 30


async def test_a_crowd_begins_as_fast_as_it_is_carried(open_engine: OpenEngine) -> None:
    begun: list[int] = []

    @step
    async def double(number: int) -> int:
        return 2 * number

    @workflow
    async def tripled(ctx: DurableContext, number: int) -> int:
        begun.append(number)
        return sum([await ctx.step(double, number) for _ in range(3)])

    async with open_engine(
        tripled, journal_queue_capacity=16, journal_flush_interval_ms=60_000
    ) as engine:
        with held(engine.parts.backend.journal, "append") as commit:
            results = [asyncio.create_task(engine.run(tripled, n)) for n in range(CROWD)]
            await commit.reached.wait()
            await turns(50)
            assert 0 < len(begun) < CROWD // 2
            commit.gate.set()
            assert await asyncio.gather(*results) == [6 * n for n in range(CROWD)]
        assert begun == list(range(CROWD))
        assert len(await engine.list()) == CROWD
        assert engine.health().dropped == 0


async def test_whoever_finds_no_room_when_it_is_his_turn_waits_on(
    open_engine: OpenEngine,
) -> None:
    """Steps of those that have begun take the only place there is in between."""

    @step
    async def note(number: int) -> int:
        return number

    @workflow
    async def noted(ctx: DurableContext, number: int) -> int:
        return sum([await ctx.step(note, number) for _ in range(4)])

    async with open_engine(noted, journal_queue_capacity=1) as engine:
        results = await asyncio.gather(*(engine.run(noted, n) for n in range(CROWD)))
        assert results == [4 * n for n in range(CROWD)]
        assert engine.health().dropped == 0
        executions = await engine.list()
        assert [row.entry_count for row in executions] == [6] * CROWD


async def test_who_waits_to_begin_when_the_engine_closes_has_begun_nothing(
    open_engine: OpenEngine,
) -> None:
    @workflow
    async def alone(_: DurableContext, number: int) -> int:
        return number

    async with AsyncExitStack() as stack:
        engine = await stack.enter_async_context(open_engine(alone, journal_queue_capacity=1))
        with held(engine.parts.backend.journal, "append") as commit:
            results = [asyncio.create_task(engine.run(alone, n)) for n in range(CROWD)]
            await commit.reached.wait()
            closing = asyncio.create_task(stack.aclose())
            while engine._roster._open:  # noqa: ASYNC110 - nobody says when it is not
                await asyncio.sleep(0)
            commit.gate.set()
            outcomes = await asyncio.gather(*results, return_exceptions=True)
            await closing
    unbegun = [outcome for outcome in outcomes if str(outcome) == "the engine is closed"]
    assert len(unbegun) > CROWD // 2
    assert {type(outcome) for outcome in unbegun} == {ExecutionError}
    async with open_engine(alone, recover=False) as engine:
        assert len(await engine.list()) == CROWD - len(unbegun)
