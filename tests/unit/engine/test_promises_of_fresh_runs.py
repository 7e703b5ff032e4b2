"""Promises in a fresh run: the same id and token, and the resolution of an earlier one."""

from __future__ import annotations

import pytest

from durable_core import (
    DurableContext,
)
from durable_core.errors import (
    ExecutionFailed,
)
from durable_core.model.entries import EntryKind
from tests.engines import OpenEngine
from tests.holding import held
from tests.programs import Stage, version
from tests.unit.engine.promising import Asked, kinds, mark, other, polled

LONGEST_S = 20


async def test_resumed_after_a_failure_it_hands_out_the_same_and_finds_the_resolution(
    open_engine: OpenEngine,
) -> None:
    seen: list[object] = []
    asked = Asked()

    async def body(ctx: DurableContext) -> object:
        value = await asked.body(ctx)
        seen.append(value)
        if len(seen) == 1:
            message = "the first time"
            raise ValueError(message)
        return value

    program = version(body)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        first = await asked.out.get()
        await engine.resolve(first.id, first.token, "kept")
        with pytest.raises(ExecutionFailed):
            await handle.result(LONGEST_S)
        again = await engine.resume(handle.id)
        assert await again.result(LONGEST_S) == "kept"
        assert await asked.out.get() == first
        assert (await kinds(engine, handle.id)).count(EntryKind.PROMISE_RESOLVED) == 1
        await engine.verify()


async def test_a_resolution_that_met_a_failure_waits_for_the_resumed_run(
    open_engine: OpenEngine,
) -> None:
    asked, stage = Asked(), Stage()

    async def body(ctx: DurableContext) -> object:
        if not stage.gate.is_set():
            promise = await ctx.promise(str, name="approval")
            asked.out.put_nowait(promise)
            await stage.pause()
            message = "before it waits"
            raise ValueError(message)
        return await asked.body(ctx)

    program = version(body)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        promise = await asked.out.get()
        with held(engine.parts.backend, "read_inbox"):
            await engine.resolve(promise.id, promise.token, "waited")
            stage.gate.set()
            with pytest.raises(ExecutionFailed):
                await handle.result(LONGEST_S)
        await polled(engine, 3)
        assert len(await engine.parts.backend.read_inbox()) == 1
        await engine.verify()
        again = await engine.resume(handle.id)
        assert await again.result(LONGEST_S) == "waited"
        await engine.verify()


async def test_restarted_after_a_divergence_it_finds_the_resolution(
    open_engine: OpenEngine,
) -> None:
    asked, stage = Asked(), Stage()

    async def old(ctx: DurableContext) -> object:
        value = await asked.body(ctx)
        await ctx.step(mark, "old")
        await stage.pause()
        return value

    async def new(ctx: DurableContext) -> object:
        value = await asked.body(ctx)
        return [value, await ctx.step(other, "new")]

    before, after = version(old), version(new)
    async with open_engine(before) as engine:
        handle = await engine.start(before)
        first = await asked.out.get()
        await engine.resolve(first.id, first.token, "kept")
        await stage.reached.wait()
    async with open_engine(after) as engine:
        assert await (await engine.get(handle.id)).result(LONGEST_S) == ["kept", "new"]
        handed_out = [await asked.out.get() for _ in range(asked.out.qsize())]
        assert handed_out == [first] * len(handed_out) != []
        await engine.verify()
