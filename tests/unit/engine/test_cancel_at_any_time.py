"""`cancel` at every stage of an execution's life: at return it is cancelled."""

from __future__ import annotations

import asyncio

import pytest

from durable_core import DurableContext, EffectClass, OnAmbiguous, step
from durable_core.errors import ExecutionCancelled, IntegrityError
from durable_core.model.execution import Status
from tests.engines import OpenEngine
from tests.holding import failing, turns
from tests.passing import Passing
from tests.programs import Stage, version

GUARDED = EffectClass.EXACTLY_ONCE_GUARDED
LONGEST_S = 10.0


async def test_an_execution_that_blocks_meanwhile_ends_cancelled(
    open_engine: OpenEngine, passing: Passing
) -> None:
    """One effect blocks it while another is still under way, and is waited for."""
    stage = Stage()
    closed = asyncio.Event()

    @step(name="ambiguous", effect=GUARDED, on_ambiguous=OnAmbiguous.FAIL, timeout=600)
    async def ambiguous() -> None:
        await stage.reached.wait()
        passing(600)
        await asyncio.Event().wait()

    @step(name="pay", effect=GUARDED, on_ambiguous=OnAmbiguous.FAIL)
    async def pay() -> None:
        await stage.pause()

    async def body(ctx: DurableContext) -> None:
        try:
            await asyncio.gather(ctx.step(ambiguous), ctx.step(pay))
        finally:
            closed.set()

    program = version(body)
    async with open_engine(program, journal_ack_timeout_ms=3_600_000) as engine:
        handle = await engine.start(program)
        await closed.wait()
        assert await handle.status() is Status.RUNNING
        cancelling = asyncio.create_task(handle.cancel())
        await turns()
        stage.gate.set()
        await cancelling
        assert await handle.status() is Status.CANCELLED
        with pytest.raises(ExecutionCancelled):
            await handle.result()


async def test_an_execution_that_waits_for_a_place_is_cancelled_at_once(
    open_engine: OpenEngine,
) -> None:
    stage = Stage()
    program = version(lambda _ctx: stage.pause())
    async with open_engine(program, max_concurrent_executions=1) as engine:
        first = await engine.start(program)
        await stage.reached.wait()
        second, third = await engine.start(program), await engine.start(program)
        async with asyncio.timeout(LONGEST_S):
            await second.cancel()
        assert await second.status() is Status.CANCELLED
        assert await first.status() is Status.RUNNING
        stage.gate.set()
        # The places that there are have not become fewer.
        await first.result()
        await third.result(LONGEST_S)


@pytest.mark.parametrize("pause", range(8))
async def test_directly_after_its_start(pause: int, open_engine: OpenEngine) -> None:
    """Also before the first turn of its own task."""
    program = version(lambda _ctx: asyncio.Event().wait())
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        await turns(pause)
        async with asyncio.timeout(LONGEST_S):
            await handle.cancel()
        assert await handle.status() is Status.CANCELLED
        with pytest.raises(ExecutionCancelled):
            await handle.result()


async def test_after_a_failure_of_the_engine(open_engine: OpenEngine) -> None:
    """What ended the run here is of no interest any more."""
    stage = Stage()
    program = version(lambda _ctx: stage.pause())
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        await stage.reached.wait()
    async with open_engine(program, recover=False) as engine:
        damage = IntegrityError("damaged")
        with failing(engine.parts.backend.journal, "read_execution_range", damage):
            handle = await engine.resume(handle.id)
            for _ in range(2):
                with pytest.raises(IntegrityError):
                    await handle.result()
        await handle.cancel()
        assert await handle.status() is Status.CANCELLED
        with pytest.raises(ExecutionCancelled):
            await handle.result()


async def test_a_request_that_takes_long_does_not_hold_up_another(open_engine: OpenEngine) -> None:
    stage = Stage()
    closed = asyncio.Event()

    @step(name="pay", effect=GUARDED)
    async def pay() -> None:
        await stage.pause()

    async def paying(ctx: DurableContext) -> None:
        try:
            await ctx.step(pay)
        finally:
            closed.set()

    slow, quick = version(paying, "slow"), version(lambda _ctx: asyncio.Event().wait(), "quick")
    async with open_engine(slow, quick) as owner, open_engine() as outsider:
        first, second = await owner.start(slow), await owner.start(quick)
        await stage.reached.wait()
        await outsider.cancel(first.id)
        await closed.wait()  # it is being answered, and waits for its effect
        await outsider.cancel(second.id)
        with pytest.raises(ExecutionCancelled):
            await second.result(LONGEST_S)
        assert await first.status() is Status.RUNNING
        stage.gate.set()
        with pytest.raises(ExecutionCancelled):
            await first.result(LONGEST_S)
