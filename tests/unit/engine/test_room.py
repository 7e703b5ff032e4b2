"""Who waits for room in the journal's queue, while the store has more to do than it can."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from durable_core import DurableContext, DurableEngine, EffectClass, step, workflow
from durable_core.errors import ExecutionCancelled
from durable_core.journal.batching import Pending
from durable_core.journal.intake import Intake
from durable_core.model.entries import EntryKind
from tests.engines import OpenEngine
from tests.holding import turns
from tests.programs import Stage, version
from tests.unit.engine.promising import Asked, kinds

MANY = 30
HOUR = 3600


def tasks_of_executions() -> list[str]:
    names = [task.get_name() for task in asyncio.all_tasks()]
    return [name for name in names if name.startswith("durable-execution-")]


@step(effect=EffectClass.EXACTLY_ONCE_GUARDED)
async def charge(number: int) -> int:
    assert tasks_of_executions() == []
    return number


@step(effect=EffectClass.IDEMPOTENT)
async def render(number: int) -> int:
    return number


@workflow
async def paying(ctx: DurableContext, number: int) -> int:
    return await ctx.step(charge, number) + await ctx.step(charge, 1)


@workflow
async def rendering(ctx: DurableContext, number: int) -> int:
    return await ctx.step(render, number)


@contextmanager
def room_for(engine: DurableEngine, entries: int) -> Iterator[Intake]:
    """A block in which the queue has room for so few acknowledged entries."""
    intake = engine.parts.writer._intake
    capacity = intake._acked_capacity
    intake._acked_capacity = entries
    try:
        yield intake
    finally:
        intake._acked_capacity = capacity
        intake.announce()


async def waiting_in(intake: Intake) -> None:
    while not intake._room:  # noqa: ASYNC110 - nobody says when somebody waits
        await asyncio.sleep(0)


async def test_many_executions_wait_for_room_without_tasks_of_their_own(
    open_engine: OpenEngine,
) -> None:
    async with open_engine(paying, rendering) as engine:
        with room_for(engine, 1):
            runs = [engine.run(paying, number) for number in range(MANY)]
            assert await asyncio.gather(*runs) == [number + 1 for number in range(MANY)]


async def test_whoever_waits_for_room_queues_no_more_than_there_is_room_for(
    open_engine: OpenEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_engine(paying) as engine:
        with room_for(engine, 1) as intake:
            put, queued = intake.put, list[int]()

            def puts(pending: Pending) -> None:
                put(pending)
                queued.append(intake._acked)

            monkeypatch.setattr(intake, "put", puts)
            await asyncio.gather(*(engine.run(paying, number) for number in range(MANY)))
        assert max(queued) == 1


async def test_an_end_that_is_turned_away_is_journaled_otherwise(open_engine: OpenEngine) -> None:
    async with open_engine(rendering) as engine:
        with room_for(engine, 0) as intake:
            running = asyncio.create_task(engine.run(rendering, 7))
            await waiting_in(intake)
            assert tasks_of_executions() == []
            intake.turn_away()
            await asyncio.sleep(0)
            await waiting_in(intake)
            assert len(tasks_of_executions()) == 1
        assert await running == 7


async def test_a_guarded_step_that_is_turned_away_waits_for_another_turn(
    open_engine: OpenEngine,
) -> None:
    async with open_engine(paying) as engine:
        with room_for(engine, 0) as intake:
            running = asyncio.create_task(engine.run(paying, 7))
            await waiting_in(intake)
            intake.turn_away()
            await asyncio.sleep(0)
            await waiting_in(intake)
        assert await running == 8


async def test_an_execution_that_is_cancelled_while_it_waits_for_room_ends(
    open_engine: OpenEngine,
) -> None:
    async with open_engine(paying) as engine:
        with room_for(engine, 0) as intake:
            running = asyncio.create_task(engine.run(paying, 7))
            await waiting_in(intake)
            (execution,) = engine._roster._running.values()
            await engine.flush()
            cancelling = asyncio.create_task(engine.cancel(execution.execution_id))
            while not intake._room[0].cancelled():  # noqa: ASYNC110 - nor when it has given up
                await asyncio.sleep(0)
        await cancelling
        with pytest.raises(ExecutionCancelled):
            await running


async def test_a_timer_that_waited_for_room_is_armed_before_the_promise_is_resolved(
    open_engine: OpenEngine,
) -> None:
    """Nor is there room for a buffered entry; armed behind it, it would be asked for by nobody."""
    asked, stage = Asked(), Stage()

    async def body(ctx: DurableContext) -> object:
        promise = await ctx.promise(str, name="approval")
        asked.out.put_nowait(promise)
        await stage.pause()
        return await ctx.await_promise(promise, timeout=HOUR)

    program = version(body)
    async with open_engine(program, journal_queue_capacity=1) as engine:
        handle = await engine.start(program)
        promise = await asked.out.get()
        await stage.reached.wait()
        with room_for(engine, 0) as intake:
            stage.gate.set()
            await waiting_in(intake)
            resolving = asyncio.create_task(engine.resolve(promise.id, promise.token, "in time"))
            while len(intake._room) < 2:  # noqa: ASYNC110 - nobody says when somebody waits
                await asyncio.sleep(0)
            intake.takes_buffered = False
            intake._acked_capacity = 1
            intake.announce()
            await turns(3)
            intake.takes_buffered = True
        await resolving
        assert await handle.result() == "in time"
        found = await kinds(engine, handle.id)
        assert found.index(EntryKind.TIMER_ARMED) < found.index(EntryKind.PROMISE_RESOLVED)
        await engine.verify()
