"""Promises that are over for the program: what a run keeps of them, and what it still knows."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from durable_core import DurableContext, DurableEngine, DurablePromise
from durable_core.engine.delivering import check, resolve, takes
from durable_core.engine.outcome import finished_value
from durable_core.errors import IntegrityError, PayloadError
from durable_core.model.entries import EntryKind
from durable_core.model.execution import Status
from durable_core.wire.payload import dump
from tests.engines import OpenEngine
from tests.programs import Stage, version
from tests.unit.engine.promising import kinds, polled
from tests.unit.engine.replaying import live_and_replayed

pytestmark = pytest.mark.dialects

Out = asyncio.Queue[DurablePromise[Any]]


def copy_of(promise: DurablePromise[Any]) -> DurablePromise[Any]:
    return DurablePromise(promise.id, promise.name, promise.token)


def resolving(out: Out, open_engine: OpenEngine) -> Any:
    """Engines that resolve what is handed out with `yes`, as long as they are open."""

    @asynccontextmanager
    async def opened(*args: Any, **settings: Any) -> AsyncIterator[DurableEngine]:
        async with open_engine(*args, **settings) as engine:
            task = asyncio.create_task(_resolve(engine, out))
            try:
                yield engine
            finally:
                task.cancel()

    return opened


async def _resolve(engine: DurableEngine, out: Out) -> None:
    while True:
        promise = await out.get()
        await engine.resolve(promise.id, promise.token, "yes")


async def asked(ctx: DurableContext, out: Out) -> DurablePromise[str]:
    """A promise whose outcome the program has, by a handle that nobody else holds."""
    promise = await ctx.promise(str, name="approval")
    out.put_nowait(copy_of(promise))
    assert await ctx.await_promise(promise) == "yes"
    return promise


async def test_one_is_kept_while_the_program_holds_its_handle(open_engine: OpenEngine) -> None:
    out: Out = asyncio.Queue()

    async def body(ctx: DurableContext) -> list[bool]:
        cells, cursor = ctx._run.cells, ctx._run.cursor
        promise = await asked(ctx, out)
        promise_id, seen = promise.id.bytes, []
        seen.append(cells.get(promise_id) is not None)
        del promise
        gc.collect()
        seen += [cells.get(promise_id) is None, promise_id in cells]
        return [*seen, cursor.resolution(promise_id) is None]

    replayed = await live_and_replayed(resolving(out, open_engine), body)
    assert replayed == [[True] * 4] * 2


async def test_many_leave_their_ids_alone(open_engine: OpenEngine) -> None:
    out: Out = asyncio.Queue()

    async def body(ctx: DurableContext) -> tuple[int, bool]:
        ids = [(await asked(ctx, out)).id.bytes for _ in range(20)]
        gc.collect()
        cells = ctx._run.cells
        strange = bytes(15) + ids[0]  # holds an id, but not where one begins
        known = all(each in cells for each in ids)
        return len(cells.all()), known and strange[:16] not in cells

    assert await live_and_replayed(resolving(out, open_engine), body) == [(0, True)] * 2


async def test_who_waits_again_by_a_copy_gets_the_same(open_engine: OpenEngine) -> None:
    out: Out = asyncio.Queue()

    async def body(ctx: DurableContext) -> list[str]:
        again = copy_of(await asked(ctx, out))
        gc.collect()
        assert ctx._run.cells.get(again.id.bytes) is None
        both = await asyncio.gather(ctx.await_promise(again), ctx.await_promise(again))
        return [*both, await ctx.await_promise(again, timeout=60)]

    assert await live_and_replayed(resolving(out, open_engine), body) == [["yes"] * 3] * 2


async def test_two_who_wait_at_once_both_get_it(open_engine: OpenEngine) -> None:
    out: Out = asyncio.Queue()

    async def body(ctx: DurableContext) -> list[str]:
        promise = await ctx.promise(str, name="approval")
        waiting = [ctx.await_promise(promise), ctx.await_promise(promise)]
        out.put_nowait(copy_of(promise))
        del promise
        return await asyncio.gather(*waiting)

    assert await live_and_replayed(resolving(out, open_engine), body) == [["yes"] * 2] * 2


async def test_one_is_kept_for_who_is_still_to_wait(open_engine: OpenEngine) -> None:
    out: Out = asyncio.Queue()

    async def body(ctx: DurableContext) -> list[object]:
        promise = await ctx.promise(str, name="approval")
        out.put_nowait(copy_of(promise))
        promise_id, cells = promise.id.bytes, ctx._run.cells
        first, second = ctx.await_promise(promise), ctx.await_promise(promise)
        del promise
        seen: list[object] = [await first]
        gc.collect()
        seen.append(cells.get(promise_id) is not None)
        return [*seen, await second, cells.get(promise_id)]

    expected = ["yes", True, "yes", None]
    assert await live_and_replayed(resolving(out, open_engine), body) == [expected] * 2


async def test_one_that_is_resolved_again_is_not_journaled_again(open_engine: OpenEngine) -> None:
    out: Out = asyncio.Queue()
    stage, kept = Stage(), list[object]()

    async def body(ctx: DurableContext) -> None:
        promise = await ctx.promise(str, name="approval")
        out.put_nowait(copy_of(promise))
        await ctx.await_promise(promise)
        del promise
        gc.collect()
        kept.extend(ctx._run.cells.all())
        await stage.pause()

    program = version(body)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        promise = await out.get()
        await engine.resolve(promise.id, promise.token, "yes")
        await stage.reached.wait()
        assert kept == []
        execution = engine._roster.running(handle.id)
        assert execution is not None
        with pytest.raises(PayloadError):
            check(execution.run, promise.id.bytes, finished_value(dump(1)))
        assert takes(execution.run, promise.id.bytes)
        await resolve(
            execution.run, execution.execution_id, promise.id.bytes, finished_value(dump(1))
        )
        await polled(engine, 2)
        stage.gate.set()
        await handle.result(20)
        found = await kinds(engine, handle.id)
        assert found.count(EntryKind.PROMISE_RESOLVED) == 1


async def test_ec_26_a_resolution_that_is_gone_ends_the_run(open_engine: OpenEngine) -> None:
    out: Out = asyncio.Queue()

    async def body(ctx: DurableContext) -> str:
        again = copy_of(await asked(ctx, out))
        gc.collect()
        ids = ctx._run.cells._told[0][1]
        ids.extend(again.id.bytes[::-1])
        strange = DurablePromise[str](_reversed(again), again.name, again.token)
        return await ctx.await_promise(strange)

    program = version(body)
    async with resolving(out, open_engine)(program) as engine:
        handle = await engine.start(program)
        with pytest.raises(IntegrityError, match="resolution of a promise"):
            await handle.result(20)
        assert await handle.status() is Status.RUNNING


def _reversed(promise: DurablePromise[Any]) -> Any:
    return type(promise.id)(bytes=promise.id.bytes[::-1])
