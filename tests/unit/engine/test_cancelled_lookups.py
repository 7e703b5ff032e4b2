"""The workflow cancels a step while its entry is looked up: what is journaled decides."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from durable_core import (
    DurableContext,
    DurableEngine,
    EffectClass,
    ExecutionHandle,
    OnAmbiguous,
    reconcile,
    step,
)
from durable_core.errors import AmbiguousEffect
from durable_core.model.entries import EntryKind
from durable_core.model.execution import Status
from tests.engines import OpenEngine
from tests.holding import held, turns
from tests.programs import Stage, version

GUARDED = EffectClass.EXACTLY_ONCE_GUARDED
SEGMENT = 6
"""Entries of a segment: a start and five steps, so that the next step's entry has to be read."""


@step(name="fill")
async def fill(number: int) -> int:
    return number


async def filled(ctx: DurableContext) -> None:
    for number in range(SEGMENT - 1):
        await ctx.step(fill, number)


async def resumed_past_its_limit(
    engine: DurableEngine, handle: ExecutionHandle[Any], scopes: list[asyncio.Timeout]
) -> ExecutionHandle[Any]:
    """The execution resumed, whose last time limit passes while its second segment is read."""
    with held(engine.parts.backend.journal, "read_execution_range", skip=1) as read:
        resumed = await engine.resume(handle.id)
        await read.reached.wait()
        scopes[-1].reschedule(asyncio.get_running_loop().time())
        await turns()
        assert scopes[-1].expired()
    return resumed


async def test_an_open_intent_meets_its_policy_and_is_not_taken_for_cancelled(
    open_engine: OpenEngine,
) -> None:
    """Otherwise a later run would find the step closed, and fire the effect a second time."""
    stage = Stage()
    scopes: list[asyncio.Timeout] = []

    @step(name="pay", effect=GUARDED, on_ambiguous=OnAmbiguous.FAIL)
    async def pay() -> str:
        stage.calls.append("pay")
        await stage.pause()
        return "paid"

    async def body(ctx: DurableContext) -> str:
        await filled(ctx)
        async with asyncio.timeout(None) as scope:
            scopes.append(scope)
            return await ctx.step(pay)

    program = version(body)
    async with open_engine(program, close_timeout_ms=1) as engine:
        handle = await engine.start(program)
        await stage.reached.wait()
    stage.gate.set()
    async with open_engine(program, recover=False, replay_segment=SEGMENT) as engine:
        handle = await resumed_past_its_limit(engine, handle, scopes)
        with pytest.raises(AmbiguousEffect, match="settle"):
            await handle.result()
        assert await handle.status() is Status.BLOCKED
        rows = await engine.parts.backend.journal.read_execution(handle.id.bytes)
        assert rows[-1].entry_kind == EntryKind.EFFECT_INTENT
        handle = await engine.resume(handle.id)
        with pytest.raises(AmbiguousEffect):
            await handle.result()
    assert stage.calls == ["pay"]


async def test_a_step_recorded_as_cancelled_is_cancelled_at_once(open_engine: OpenEngine) -> None:
    """The cancellation came during the look-up, and will not come again."""
    stage = Stage()
    cancelled = asyncio.Event()

    @step(name="forever")
    async def forever() -> None:
        stage.calls.append("forever")
        await asyncio.Event().wait()

    async def body(ctx: DurableContext) -> bool:
        await filled(ctx)
        task = asyncio.create_task(ctx.step(forever))
        await asyncio.sleep(0)
        task.cancel()
        cancelled.set()
        await asyncio.wait({task})
        if not stage.gate.is_set():
            await stage.pause()
        return task.cancelled()

    program = version(body)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        await stage.reached.wait()
    stage.gate.set()
    cancelled.clear()
    async with open_engine(program, recover=False, replay_segment=SEGMENT) as engine:
        with held(engine.parts.backend.journal, "read_execution_range", skip=1) as read:
            handle = await engine.resume(handle.id)
            await read.reached.wait()
            await cancelled.wait()
            read.gate.set()
            assert await handle.result(timeout=5) is True
    assert stage.calls == ["forever"]


async def test_a_limit_that_passes_while_steps_are_looked_up_reaches_what_stands_behind_all(
    open_engine: OpenEngine,
) -> None:
    """Each recorded step outlasts it, and hands it on; the first that is not recorded obeys."""
    stage = Stage()
    scopes: list[asyncio.Timeout] = []

    @step(name="forever")
    async def forever() -> None:
        await stage.pause()
        await asyncio.Event().wait()

    async def body(ctx: DurableContext) -> str:
        try:
            async with asyncio.timeout(None) as scope:
                scopes.append(scope)
                await filled(ctx)
                await filled(ctx)
                await ctx.step(forever)
        except TimeoutError:
            return "too late"
        return "in time"

    program = version(body)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        await stage.reached.wait()
    stage.gate.set()
    async with open_engine(program, recover=False, replay_segment=SEGMENT) as engine:
        handle = await resumed_past_its_limit(engine, handle, scopes)
        assert await handle.result(timeout=5) == "too late"


async def test_a_wait_recorded_as_cancelled_is_cancelled_before_its_turn(
    open_engine: OpenEngine,
) -> None:
    """What stands before it is told first, and the program cancels the wait upon that."""
    end = Stage()

    async def body(ctx: DurableContext) -> bool:
        promise = await ctx.promise(str, name="never")
        task = asyncio.create_task(ctx.await_promise(promise))
        await ctx.step(fill, 0)
        task.cancel()
        await asyncio.wait({task})
        if not end.gate.is_set():
            await end.pause()
        return task.cancelled()

    program = version(body)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        await end.reached.wait()
        await engine.flush()
        rows = await engine.parts.backend.journal.read_execution(handle.id.bytes)
        assert rows[-1].entry_kind == EntryKind.STEP_FAILED
    end.gate.set()
    async with open_engine(program) as engine:
        assert await (await engine.get(handle.id)).result(timeout=5) is True


@pytest.mark.parametrize("when", ["on resume", "after its time limit"])
async def test_ec_32c_a_timeout_around_an_ambiguity_that_is_being_resolved(
    when: str,
    open_engine: OpenEngine,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The block waits, and gets what the reconcile function finds; so does every replay."""
    stage = Stage()
    scopes: list[asyncio.Timeout] = []

    async def ask(_key: bytes) -> str:
        stage.calls.append("ask")
        scopes[-1].reschedule(asyncio.get_running_loop().time())
        await turns()
        assert scopes[-1].expired()
        return "found"

    limit = 0.01 if when == "after its time limit" else None

    @step(name="pay", effect=GUARDED, on_ambiguous=reconcile(ask), timeout=limit)
    async def pay() -> str:
        stage.calls.append("pay")
        await stage.pause()
        return "paid"

    ended = Stage()

    async def body(ctx: DurableContext) -> str:
        try:
            async with asyncio.timeout(None) as scope:
                scopes.append(scope)
                value = await ctx.step(pay)
        except TimeoutError:
            value = "given up"
        if not ended.gate.is_set():
            await ended.pause()
        return value

    program = version(body)
    with caplog.at_level(logging.WARNING, "durable_core.audit"):
        async with open_engine(program, close_timeout_ms=1) as engine:
            handle = await engine.start(program)
            await (stage if limit is None else ended).reached.wait()
            await engine.flush()
        if limit is None:
            async with open_engine(program) as engine:
                await ended.reached.wait()
        ended.gate.set()
        async with open_engine(program) as engine:
            assert await (await engine.get(handle.id)).result() == "found"
    assert stage.calls == ["pay", "ask"]
    audited = [record for record in caplog.records if record.name == "durable_core.audit"]
    assert [record.getMessage().endswith("recovered") for record in audited] == [True]
