"""An engine that has lost its owner lock begins no step until it has it again (INV-15)."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from durable_core import DurableContext, DurableEngine, EffectClass, ExecutionHandle, step
from durable_core.engine.standing import Standing
from durable_core.errors import JournalUnavailable
from durable_core.model.execution import Status
from tests.engines import AnyWorkflow, OpenEngine
from tests.holding import held
from tests.passing import Passing
from tests.programs import Stage, version

LONG_S = 600


def program_of(stage: Stage) -> AnyWorkflow:
    """Two steps; between them it waits for the stage."""

    @step(name="first")
    async def first() -> None:
        stage.calls.append("first")

    @step(name="second", effect=EffectClass.EXACTLY_ONCE_GUARDED)
    async def second() -> str:
        stage.calls.append("second")
        return "done"

    async def body(ctx: DurableContext) -> str:
        await ctx.step(first)
        if not stage.gate.is_set():
            await stage.pause()
        return await ctx.step(second)

    return version(body)


async def turns() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


async def test_no_step_begins_while_the_lock_is_lost(
    open_engine: OpenEngine, caplog: pytest.LogCaptureFixture
) -> None:
    stage = Stage()
    program = program_of(stage)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        await stage.reached.wait()
        with caplog.at_level(logging.WARNING, "durable_core.engine"):
            engine.parts.standing.change(held=False)
            engine.parts.standing.change(held=False)
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        stage.gate.set()
        await turns()
        await engine.flush()
        assert stage.calls == ["first"]
        rows = await engine.parts.backend.journal.read_execution(handle.id.bytes)
        assert len(rows) == 2, "not even an intent"
        engine.parts.standing.change(held=True)
        assert await handle.result() == "done"
    assert stage.calls == ["first", "second"]


async def test_what_is_recorded_is_replayed_all_the_same(open_engine: OpenEngine) -> None:
    stage = Stage()
    program = program_of(stage)
    async with open_engine(program) as engine:
        handle = await engine.start(program, key="k")
        await stage.reached.wait()
        await engine.flush()
    stage.reached.clear()
    async with open_engine(program, recover=False) as engine:
        engine.parts.standing.change(held=False)
        await engine.resume(handle.id)
        await stage.reached.wait()
        stage.gate.set()
        engine.parts.standing.change(held=True)
        assert await (await engine.get(handle.id)).result() == "done"
    assert stage.calls == ["first", "second"]


async def given_up(engine: DurableEngine, handle: ExecutionHandle[Any], passing: Passing) -> None:
    """Let the time pass for which a run waits for the lock."""
    with held(engine.parts.standing, "regained") as waiting:
        ending = asyncio.create_task(handle.result())
        await waiting.reached.wait()
        waiting.gate.set()
        await turns()
        passing(LONG_S)
        with pytest.raises(JournalUnavailable, match="owner lock was lost"):
            await ending


async def test_a_lock_that_stays_lost_ends_the_run_which_goes_on_later(
    open_engine: OpenEngine, passing: Passing
) -> None:
    """The watch takes it up again once the lock is held, without anybody asking."""
    stage = Stage()
    program = program_of(stage)
    async with open_engine(program, journal_ack_timeout_ms=LONG_S * 1000) as engine:
        handle = await engine.start(program)
        await stage.reached.wait()
        engine.parts.standing.change(held=False)
        stage.gate.set()
        await given_up(engine, handle, passing)
        assert await handle.status() is Status.RUNNING
        await given_up(engine, handle, passing)
        engine.parts.standing.change(held=True)
        await engine._recovery.look()
        assert await handle.result() == "done"
    assert stage.calls == ["first", "second"]


async def test_a_step_that_waits_for_the_lock_ends_with_its_engine(
    open_engine: OpenEngine,
) -> None:
    stage = Stage()
    program = program_of(stage)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        await stage.reached.wait()
        engine.parts.standing.change(held=False)
        stage.gate.set()
        await turns()
    async with open_engine(program) as engine:
        assert await (await engine.get(handle.id)).result() == "done"
    assert stage.calls == ["first", "second"]


async def test_an_engine_without_its_lock_claims_nothing(open_engine: OpenEngine) -> None:
    stage = Stage()
    program = program_of(stage)
    async with open_engine(program) as engine:
        await engine.start(program)
        await stage.reached.wait()
    stage.gate.set()
    async with open_engine(program, recover=False, claim=True) as engine:
        engine.parts.standing.change(held=False)
        offered = await engine.start(program, run="anywhere")
        await engine._recovery.look()
        await engine._recovery.claim_waiting()
        assert {row.owner_epoch for row in await engine.list()} == {1}
        engine.parts.standing.change(held=True)
        assert await offered.result() == "done"


async def test_the_wait_is_bounded() -> None:
    standing = Standing(10)
    assert standing.held
    assert standing.held_for(1000)
    standing.change(held=False)
    with pytest.raises(JournalUnavailable):
        await standing.regained()
    standing.change(held=True)
    await standing.regained()
    assert not standing.held_for(1000)
    assert standing.held_for(0)
