"""Promises and timers in bad moments: no wake is lost, and no resolution counts twice (EC-36)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from durable_core import (
    DurableContext,
    DurablePromise,
)
from durable_core.config import RetentionConfig
from durable_core.errors import (
    ExecutionCancelled,
    ExecutionTerminal,
    JournalUnavailable,
    PromiseAlreadyResolved,
    PromiseNotFound,
    ReplayDivergence,
)
from durable_core.model.entries import EntryKind
from durable_core.model.execution import Status
from tests.engines import OpenEngine
from tests.holding import failing, held, turns
from tests.programs import Stage, version
from tests.unit.engine.promising import Asked, kinds, mark, note, other, polled

pytestmark = pytest.mark.dialects

HOUR = 3600
LONGEST_S = 20


@pytest.mark.parametrize("longest", [None, HOUR])
@pytest.mark.parametrize("waits", ["before it is committed", "after it was"])
async def test_ec_36_resolved_between_look_up_and_waiting(
    open_engine: OpenEngine, longest: float | None, waits: str
) -> None:
    asked, stage = Asked(), Stage()

    async def body(ctx: DurableContext) -> object:
        promise = await ctx.promise(str, name="approval")
        asked.out.put_nowait(promise)
        await stage.pause()
        return await ctx.await_promise(promise, timeout=longest)

    program = version(body)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        promise = await asked.out.get()
        with held(engine.parts.backend.journal, "append") as commit:
            await engine.resolve(promise.id, promise.token, "in time")
            await commit.reached.wait()
            if waits == "before it is committed":
                stage.gate.set()
                await turns(50)
            commit.gate.set()
        while EntryKind.PROMISE_RESOLVED not in await kinds(engine, handle.id):
            await engine.parts.backend.probe()
        stage.gate.set()
        assert await handle.result(LONGEST_S) == "in time"
        assert EntryKind.TIMER_ARMED not in await kinds(engine, handle.id)
        await engine.verify()


async def test_ec_36_resolved_while_the_timer_of_the_wait_is_journaled(
    open_engine: OpenEngine,
) -> None:
    """The queue is full, so that what is armed waits for its commit, and the resolution comes."""
    asked, stage = Asked(timeout=HOUR), Stage()

    async def body(ctx: DurableContext) -> object:
        promise = await ctx.promise(str, name="approval")
        asked.out.put_nowait(promise)
        await stage.pause()
        await ctx.step(note, "fills the queue")
        return await ctx.await_promise(promise, timeout=HOUR)

    program = version(body)
    settings: dict[str, Any] = {"journal_queue_capacity": 1, "journal_flush_interval_ms": 60_000}
    async with open_engine(program, **settings) as engine:
        handle = await engine.start(program)
        promise = await asked.out.get()
        await stage.reached.wait()
        with held(engine.parts.backend.journal, "append") as commit:
            stage.gate.set()
            await commit.reached.wait()
            await engine.resolve(promise.id, promise.token, "in time")
            await polled(engine, 2)
            commit.gate.set()
        assert await handle.result(LONGEST_S) == "in time"
        await engine.verify()


async def test_a_wait_that_is_cancelled_while_its_timer_is_journaled(
    open_engine: OpenEngine,
) -> None:
    stage, asleep = Stage(), Stage()

    async def body(ctx: DurableContext) -> str:
        await stage.pause()
        await ctx.step(note, "fills the queue")
        sleeping = asyncio.create_task(ctx.sleep(HOUR))
        await asleep.pause()
        sleeping.cancel()
        try:
            await sleeping
        except asyncio.CancelledError:
            return "cancelled"
        return "slept on"

    program = version(body)
    settings: dict[str, Any] = {"journal_queue_capacity": 1, "journal_flush_interval_ms": 60_000}
    async with open_engine(program, **settings) as engine:
        handle = await engine.start(program)
        await stage.reached.wait()
        with held(engine.parts.backend.journal, "append") as commit:
            stage.gate.set()
            await commit.reached.wait()
            asleep.gate.set()
            await turns(50)
            commit.gate.set()
        assert await handle.result(LONGEST_S) == "cancelled"
        await engine.verify()


async def test_what_cannot_be_answered_does_not_hold_up_the_rest(open_engine: OpenEngine) -> None:
    """More resolutions of a blocked execution than an inbox is read of at once."""
    many = 130
    made: list[DurablePromise[Any]] = []
    stage, asked = Stage(), Asked()

    async def waits(ctx: DurableContext) -> int:
        made[:] = [await ctx.promise(int, name="one of many") for _ in range(many)]
        await ctx.step(note, "not idempotent")
        await stage.pause()
        return sum([await ctx.await_promise(promise) for promise in made])

    async def diverges(ctx: DurableContext) -> None:
        await ctx.step(other, "first")

    right, wrong = version(waits), version(diverges)
    async with open_engine(right) as engine:
        handle = await engine.start(right)
        await stage.reached.wait()
    free = version(asked.body, "free")
    async with open_engine(wrong, free) as engine:
        blocked = await engine.get(handle.id)
        with pytest.raises(ReplayDivergence):
            await blocked.result(LONGEST_S)
        assert await blocked.status() is Status.BLOCKED
        for number, promise in enumerate(made):
            await engine.resolve(promise.id, promise.token, number)
        running = await engine.start(free)
        promise = await asked.out.get()
        await engine.resolve(promise.id, promise.token, "not starved")
        assert await running.result(LONGEST_S) == "not starved"
        assert len(await engine.parts.backend.read_inbox(limit=1000)) == many
    stage.gate.set()
    async with open_engine(right) as engine:
        again = await engine.resume(handle.id)
        assert await again.result(LONGEST_S) == sum(range(many))
        await engine.verify()


async def test_what_was_journaled_is_not_journaled_again_by_a_run_that_replays(
    open_engine: OpenEngine,
) -> None:
    """The request is still there after a crash, and the resolution stands in a later segment."""
    asked, stage = Asked(), Stage()

    async def body(ctx: DurableContext) -> object:
        promise = await ctx.promise(str, name="approval")
        asked.out.put_nowait(promise)
        for number in range(6):
            await ctx.step(mark, str(number))
        await stage.pause()
        return await ctx.await_promise(promise)

    program = version(body)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        await stage.reached.wait()
        promise = await asked.out.get()
        broken = [JournalUnavailable("as in a crash") for _ in range(1000)]
        with failing(engine.parts.backend, "remove_inbox", *broken):
            await engine.resolve(promise.id, promise.token, "once")
            while EntryKind.PROMISE_RESOLVED not in await kinds(engine, handle.id):
                await engine.parts.backend.probe()
    stage.gate.set()
    async with open_engine(program, recover=False, replay_segment=2) as engine:
        with held(engine.parts.backend.journal, "read_execution_range", skip=1) as reading:
            again = await engine.resume(handle.id)
            await asked.out.get()
            await reading.reached.wait()
            await polled(engine, 3)
            reading.gate.set()
        assert await again.result(LONGEST_S) == "once"
        assert (await kinds(engine, handle.id)).count(EntryKind.PROMISE_RESOLVED) == 1


async def test_a_resolution_whose_owner_was_fenced_is_journaled_by_the_next(
    open_engine: OpenEngine,
) -> None:
    asked = Asked()
    async with open_engine(asked.program) as engine, open_engine(recover=False) as beside:
        handle = await engine.start(asked.program)
        promise = await asked.out.get()
        row = await beside.parts.backend.load(handle.id.bytes)
        assert row is not None
        with held(engine.parts.backend.journal, "append") as commit:
            await engine.resolve(promise.id, promise.token, "for the next")
            await commit.reached.wait()
            assert await beside.parts.backend.claim(row, "somebody who died", row.updated_at)
            commit.gate.set()
        again = await asked.out.get()
        assert again == promise
        assert await (await engine.get(handle.id)).result(LONGEST_S) == "for the next"
        assert (await kinds(engine, handle.id)).count(EntryKind.PROMISE_RESOLVED) == 1


async def test_a_resolution_while_the_store_is_down_comes_when_it_is_back(
    open_engine: OpenEngine,
) -> None:
    asked = Asked()
    async with open_engine(asked.program) as engine:
        handle = await engine.start(asked.program)
        promise = await asked.out.get()
        with failing(engine.parts.backend.journal, "append", JournalUnavailable("down")):
            await engine.resolve(promise.id, promise.token, "after all")
            again = await asked.out.get()
        assert again == promise
        assert await (await engine.get(handle.id)).result(LONGEST_S) == "after all"
        await engine.verify()


async def test_a_resolver_that_is_cancelled_has_filed_once(open_engine: OpenEngine) -> None:
    asked = Asked()
    async with open_engine(asked.program) as engine:
        handle = await engine.start(asked.program)
        promise = await asked.out.get()
        with held(engine.parts.backend, "post_inbox", answered=True) as filing:
            resolving = asyncio.create_task(engine.resolve(promise.id, promise.token, "mine"))
            await filing.reached.wait()
            resolving.cancel()
            await asyncio.wait({resolving})
        assert resolving.cancelled()
        assert await handle.result(LONGEST_S) == "mine"
        await engine.resolve(promise.id, promise.token, "mine")
        with pytest.raises(PromiseAlreadyResolved):
            await engine.resolve(promise.id, promise.token, "yours")


async def test_whoever_is_late_learns_it_also_when_the_execution_has_just_ended(
    open_engine: OpenEngine,
) -> None:
    """All of it happens between the resolver's look at the promise and its look at the rest."""
    asked = Asked()
    async with open_engine(asked.program) as engine, open_engine(recover=False) as beside:
        handle = await engine.start(asked.program)
        promise = await asked.out.get()
        with held(beside.parts.backend, "load") as looking:
            same = asyncio.create_task(beside.resolve(promise.id, promise.token, "first"))
            other = asyncio.create_task(beside.resolve(promise.id, promise.token, "second"))
            while len(looking.calls) < 2:
                await beside.parts.backend.probe()
            await engine.resolve(promise.id, promise.token, "first")
            assert await handle.result(LONGEST_S) == "first"
            looking.gate.set()
            await same
            with pytest.raises(PromiseAlreadyResolved):
                await other


async def test_a_resolution_of_an_execution_that_is_pruned_meanwhile_leaves_nothing(
    open_engine: OpenEngine,
) -> None:
    asked = Asked()
    at_once = RetentionConfig(ttl_completed_secs=0, ttl_failed_secs=0)
    async with open_engine(asked.program, retention=at_once) as engine:
        handle = await engine.start(asked.program)
        promise = await asked.out.get()
        with held(engine.parts.backend, "post_inbox") as filing:
            resolving = asyncio.create_task(engine.resolve(promise.id, promise.token, "late"))
            await filing.reached.wait()
            await handle.cancel()
            while await engine.parts.backend.load(handle.id.bytes) is not None:
                await engine.prune()
            filing.gate.set()
            with pytest.raises(PromiseNotFound):
                await resolving
        assert await engine.parts.backend.read_inbox() == []
        await engine.verify()


async def test_a_resolution_that_waited_for_room_is_not_journaled_by_a_run_that_ended(
    open_engine: OpenEngine,
) -> None:
    asked = Asked()
    async with open_engine(asked.program) as engine:
        handle = await engine.start(asked.program)
        promise = await asked.out.get()
        await asyncio.sleep(0)
        intake: Any = engine.parts.writer
        intake = intake._intake
        intake._acked += 10_000
        with held(engine.parts.writer, "room") as room:
            room.gate.set()
            await engine.resolve(promise.id, promise.token, "too late")
            while not room.calls:
                await engine.parts.backend.probe()
        cancelling = asyncio.create_task(handle.cancel())
        await turns(50)
        intake._acked -= 10_000
        intake.announce()
        await cancelling
        with pytest.raises(ExecutionCancelled):
            await handle.result(LONGEST_S)
        assert EntryKind.PROMISE_RESOLVED not in await kinds(engine, handle.id)
        with pytest.raises(ExecutionTerminal):
            await engine.resolve(promise.id, promise.token, "too late")
        while await engine.parts.backend.read_inbox():
            await engine.parts.backend.probe()
        await engine.verify()
