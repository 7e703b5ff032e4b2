"""Places: at most so many executions do something at once; those that only wait need none."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from durable_core import DurableContext, DurableEngine, DurablePromise, step, workflow
from durable_core.errors import ExecutionCancelled
from durable_core.model.execution import Status
from tests.engines import OpenEngine
from tests.programs import Stage, version
from tests.unit.engine.promising import Asked, note

pytestmark = pytest.mark.dialects
LONGEST_S = 20


async def journaled(engine: DurableEngine) -> None:
    """Return when every request that was filed is journaled."""
    while await engine.parts.backend.read_inbox():
        await engine.parts.backend.probe()


async def test_inv_12_a_parent_and_its_child_share_one_place(open_engine: OpenEngine) -> None:
    @workflow(name="child")
    async def child(ctx: DurableContext, number: int) -> str:
        return await ctx.step(note, f"child {number}")

    @workflow(name="parent")
    async def parent(ctx: DurableContext) -> list[str]:
        children = [await ctx.start_child(child, number) for number in range(2)]
        return [await each.result() for each in children]

    async with open_engine(parent, child, max_concurrent_executions=1) as engine:
        handle = await engine.start(parent)
        assert await handle.result(LONGEST_S) == ["child 0", "child 1"]


@pytest.mark.parametrize("wait", ["promise", "sleep", "signal"])
async def test_whoever_waits_lets_others_run(open_engine: OpenEngine, wait: str) -> None:
    async def waiting(ctx: DurableContext) -> str:
        if wait == "sleep":
            await ctx.sleep(3600)
        elif wait == "signal":
            await ctx.receive("go", str)
        else:
            await ctx.await_promise(await ctx.promise(str, name="never"))
        return "too early"

    parked, running = version(waiting, "parked"), version(lambda ctx: ctx.step(note, "ran"), "runs")
    async with open_engine(parked, running, max_concurrent_executions=1) as engine:
        handles = [await engine.start(parked) for _ in range(3)]
        assert await (await engine.start(running)).result(LONGEST_S) == "ran"
        assert [await handle.status() for handle in handles] == [Status.RUNNING] * 3
        for handle in handles:
            await handle.cancel()


async def test_whoever_is_woken_waits_for_a_place(open_engine: OpenEngine) -> None:
    """And one that is cancelled then leaves none behind that is lost."""
    stage, asked = Stage(), Asked()
    busy = version(lambda _ctx: stage.pause(), "busy")
    async with open_engine(asked.program, busy, max_concurrent_executions=1) as engine:
        first = await engine.start(asked.program)
        promise = await asked.out.get()
        second = await engine.start(asked.program)
        other = await asked.out.get()
        holding = await engine.start(busy)
        await stage.reached.wait()
        await engine.resolve(promise.id, promise.token, "yes")
        await engine.resolve(other.id, other.token, "no")
        await journaled(engine)
        assert await first.status() is Status.RUNNING
        await second.cancel()
        with pytest.raises(ExecutionCancelled):
            await second.result(LONGEST_S)
        stage.gate.set()
        await holding.result(LONGEST_S)
        assert await first.result(LONGEST_S) == "yes"
        last = await engine.start(busy)
        await last.result(LONGEST_S)


async def test_branches_that_wake_together_share_the_place(open_engine: OpenEngine) -> None:
    stage = Stage()
    out: asyncio.Queue[DurablePromise[str]] = asyncio.Queue()

    async def branch(ctx: DurableContext, name: str) -> str:
        promise = await ctx.promise(str, name=name)
        out.put_nowait(promise)
        return await ctx.await_promise(promise)

    async def both(ctx: DurableContext) -> list[str]:
        async with ctx.parallel() as group:
            parts = [group.start(branch, name) for name in ("one", "two")]
        return [part.result() for part in parts]

    program, busy = version(both), version(lambda _ctx: stage.pause(), "busy")
    async with open_engine(program, busy, max_concurrent_executions=1) as engine:
        handle = await engine.start(program)
        promises = [await out.get(), await out.get()]
        await engine.start(busy)
        await stage.reached.wait()
        for promise in promises:
            await engine.resolve(promise.id, promise.token, promise.name)
        await journaled(engine)
        stage.gate.set()
        assert await handle.result(LONGEST_S) == ["one", "two"]


async def test_a_step_beside_a_wait_keeps_the_place(open_engine: OpenEngine) -> None:
    stage = Stage()
    began: list[str] = []

    @step(name="hold")
    async def hold() -> None:
        await stage.pause()

    async def both(ctx: DurableContext) -> None:
        await asyncio.gather(ctx.sleep(3600), ctx.step(hold))

    async def other(_ctx: DurableContext) -> None:
        began.append("other")

    program, next_one = version(both), version(other, "other")
    async with open_engine(program, next_one, max_concurrent_executions=1) as engine:
        handle = await engine.start(program)
        await stage.reached.wait()
        second = await engine.start(next_one)
        for _ in range(20):
            await engine.parts.backend.probe()
        assert not began
        stage.gate.set()
        await second.result(LONGEST_S)
        assert await handle.status() is Status.RUNNING
        await handle.cancel()


async def test_more_that_wait_than_there_are_places_are_recovered(open_engine: OpenEngine) -> None:
    asked = Asked()
    promises: dict[Any, DurablePromise[Any]] = {}
    async with open_engine(asked.program) as engine:
        handles = [await engine.start(asked.program) for _ in range(7)]
        for _ in handles:
            await asked.out.get()
    async with open_engine(asked.program, max_concurrent_executions=2) as engine:
        async with asyncio.timeout(LONGEST_S):
            while len(promises) < len(handles):
                promise = await asked.out.get()
                promises[promise.id] = promise
        for promise in promises.values():
            await engine.resolve(promise.id, promise.token, "woken")
        for handle in handles:
            assert await (await engine.get(handle.id)).result(LONGEST_S) == "woken"
