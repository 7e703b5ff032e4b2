"""What is told when it is durable is told before what stands behind it, live and replayed alike."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine
from contextlib import ExitStack, suppress
from typing import Any

import pytest

from durable_core import DurableContext, DurablePromise, step
from durable_core.contracts import CommitBatch
from durable_core.errors import JournalUnavailable
from durable_core.model.entries import EntryKind, ExecutionStarted
from tests.engines import OpenEngine
from tests.holding import held, turns
from tests.journals import fresh_id
from tests.programs import Stage, version

pytestmark = pytest.mark.dialects

Awaited = Callable[[DurableContext, DurablePromise[str]], Coroutine[Any, Any, Any]]

ON_THE_WAY: dict[str, tuple[EntryKind, Awaited]] = {
    "the end of a wait": (
        EntryKind.TIMER_FIRED,
        lambda ctx, promise: ctx.await_promise(promise, timeout=0.01),
    ),
    "a resolution": (
        EntryKind.PROMISE_RESOLVED,
        lambda ctx, promise: ctx.await_promise(promise),
    ),
    "a promise": (
        EntryKind.PROMISE_CREATED,
        lambda ctx, _: ctx.promise(str, name="another"),
    ),
}


class Race:
    """Two that are awaited at the same time, and in which order the program was told of them."""

    def __init__(self) -> None:
        self.orders: list[list[str]] = []
        self.end = Stage()

    async def run(self, **awaited: Coroutine[Any, Any, Any]) -> None:
        order: list[str] = []
        self.orders.append(order)
        pending = {asyncio.create_task(each, name=name) for name, each in awaited.items()}
        while pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            order.append(" and ".join(sorted(task.get_name() for task in done)))
            for task in done:
                task.exception()
        if not self.end.gate.is_set():
            await self.end.pause()


@pytest.mark.parametrize("case", ON_THE_WAY)
async def test_a_step_that_ends_meanwhile_is_told_behind_it(
    open_engine: OpenEngine, case: str
) -> None:
    kind, awaited = ON_THE_WAY[case]
    race, function = Race(), Stage()
    promises: asyncio.Queue[DurablePromise[str]] = asyncio.Queue()

    @step
    async def gated() -> None:
        await function.pause()

    async def body(ctx: DurableContext) -> None:
        promise = await ctx.promise(str, name="one")
        promises.put_nowait(promise)
        await race.run(first=awaited(ctx, promise), second=ctx.step(gated))

    def has_it(batch: CommitBatch) -> bool:
        return any(row.entry_kind == kind and row.step_id != "0" for row in batch.rows)

    program = version(body)
    async with open_engine(program) as engine:
        with held(engine.parts.backend.journal, "append", when=has_it) as commit:
            handle = await engine.start(program)
            promise = await promises.get()
            await function.reached.wait()
            resolving = None
            if kind is EntryKind.PROMISE_RESOLVED:
                resolving = asyncio.create_task(engine.resolve(promise.id, promise.token, "yes"))
            await commit.reached.wait()
            function.gate.set()
            await turns(100)
            assert race.orders == [[]]
            commit.gate.set()
            await race.end.reached.wait()
        if resolving is not None:
            await resolving
        await engine.flush()
    race.end.gate.set()
    async with open_engine(program) as engine:
        await (await engine.get(handle.id)).result()
    assert race.orders == [["first", "second"]] * 2


async def test_a_result_that_finds_room_is_told_behind_one_that_found_none(
    open_engine: OpenEngine,
) -> None:
    race, functions = Race(), {"first": Stage(), "second": Stage()}

    @step
    async def gated(name: str) -> None:
        await functions[name].pause()

    async def body(ctx: DurableContext) -> None:
        await race.run(**{name: ctx.step(gated, name) for name in functions})

    program, other = version(body), version(body, "other")
    async with open_engine(
        program, other, journal_queue_capacity=1, journal_flush_interval_ms=60_000
    ) as engine:
        handle = await engine.start(program)
        for function in functions.values():
            await function.reached.wait()
        with held(engine.parts.backend.journal, "append") as commit:
            lane = engine.parts.journal.new_lane(fresh_id(), "other")
            assert engine.parts.writer.offer(lane, ExecutionStarted(lane.execution_id, 0, b"\x80"))
            functions["first"].gate.set()
            await commit.reached.wait()
            functions["second"].gate.set()
            await turns(100)
            assert race.orders == [[]]
            commit.gate.set()
            await race.end.reached.wait()
        await engine.flush()
    race.end.gate.set()
    async with open_engine(program, recover=False) as engine:
        await (await engine.resume(handle.id)).result()
    assert race.orders == [["first", "second"]] * 2


async def test_a_promise_outlasts_a_time_limit_that_ends_while_it_is_made(
    open_engine: OpenEngine,
) -> None:
    scopes: list[asyncio.Timeout] = []
    seen: list[str] = []
    end = Stage()

    async def body(ctx: DurableContext) -> None:
        made = "nothing"
        try:
            async with asyncio.timeout(None) as scope:
                scopes.append(scope)
                made = (await ctx.promise(str, name="one")).name
                if not end.gate.is_set():
                    await asyncio.Event().wait()
        except TimeoutError:
            seen.append(f"late, behind {made}")
        else:
            seen.append(made)
        if not end.gate.is_set():
            await end.pause()

    program = version(body)
    async with open_engine(program) as engine:
        with held(engine.parts.backend.journal, "append", skip=1) as commit:
            handle = await engine.start(program)
            await commit.reached.wait()
            scopes[0].reschedule(asyncio.get_running_loop().time())
            while not scopes[0].expired():  # noqa: ASYNC110 - nobody says when it has
                await asyncio.sleep(0)
            await turns(50)
            assert seen == []
            commit.gate.set()
            await end.reached.wait()
    assert seen == ["late, behind one"]
    end.gate.set()
    async with open_engine(program) as engine:
        await (await engine.get(handle.id)).result()
    assert seen == ["late, behind one", "one"]


@pytest.mark.parametrize("kind", [EntryKind.TIMER_FIRED, EntryKind.PROMISE_CREATED])
async def test_what_fails_behind_a_closed_run_is_known(
    open_engine: OpenEngine, kind: EntryKind
) -> None:
    """The engine is closed while its commit hangs; nothing is left for the loop to complain of."""
    troubles: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, trouble: troubles.append(trouble))

    async def body(ctx: DurableContext) -> None:
        promise = await ctx.promise(str, name="one")
        await ctx.await_promise(promise, timeout=0.01)

    def has_it(batch: CommitBatch) -> bool:
        return any(row.entry_kind == kind for row in batch.rows)

    program = version(body)
    with ExitStack() as holding, suppress(JournalUnavailable):
        async with open_engine(program, close_timeout_ms=50) as engine:
            journal = engine.parts.backend.journal
            commit = holding.enter_context(held(journal, "append", when=has_it))
            await engine.start(program)
            await commit.reached.wait()
            await turns()
    gc.collect()
    await turns()
    assert troubles == []
