"""Steps that the workflow's own code cancels: live and replayed take the same branch."""

from __future__ import annotations

import asyncio

import pytest

from durable_core import (
    DurableContext,
    DurableEngine,
    EffectClass,
    OnAmbiguous,
    current_step,
    step,
)
from durable_core.errors import ExecutionCancelled
from durable_core.model.entries import EntryKind
from tests.engines import OpenEngine
from tests.programs import Stage, version
from tests.unit.engine.replaying import live_and_replayed


async def test_ec_32c_a_timeout_around_a_guarded_step_that_has_begun(
    open_engine: OpenEngine,
) -> None:
    calls: list[str] = []
    scopes: list[asyncio.Timeout] = []

    @step(effect=EffectClass.EXACTLY_ONCE_GUARDED, on_ambiguous=OnAmbiguous.FAIL)
    async def pay() -> str:
        calls.append("pay")
        loop = asyncio.get_running_loop()
        scopes[-1].reschedule(loop.time())  # it expires now that the function has begun
        released = asyncio.Event()
        loop.call_later(0.01, released.set)
        await released.wait()
        assert scopes[-1].expired()
        return "paid"

    async def body(ctx: DurableContext) -> str:
        try:
            async with asyncio.timeout(None) as scope:
                scopes.append(scope)
                return await ctx.step(pay)
        except TimeoutError:
            return "timed out"

    assert await live_and_replayed(open_engine, body) == ["paid", "paid"]
    assert calls == ["pay"]


async def test_a_timeout_around_another_step_journals_that_it_was_cancelled(
    open_engine: OpenEngine,
) -> None:
    calls: list[str] = []

    @step
    async def forever() -> str:
        calls.append("forever")
        await asyncio.Event().wait()
        return "never"

    async def body(ctx: DurableContext) -> str:
        try:
            async with asyncio.timeout(0.02):
                return await ctx.step(forever)
        except TimeoutError:
            return "timed out"

    assert await live_and_replayed(open_engine, body) == ["timed out", "timed out"]
    assert calls == ["forever"]


async def test_the_loser_of_a_race_is_cancelled_again_on_replay(open_engine: OpenEngine) -> None:
    calls: list[str] = []

    @step
    async def quick() -> str:
        calls.append("quick")
        return "quick"

    @step
    async def slow() -> str:
        calls.append("slow")
        await asyncio.Event().wait()
        return "slow"

    async def body(ctx: DurableContext) -> str:
        tasks = [asyncio.create_task(ctx.step(slow)), asyncio.create_task(ctx.step(quick))]
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        await asyncio.wait(pending)
        return done.pop().result()

    assert await live_and_replayed(open_engine, body) == ["quick", "quick"]
    assert sorted(calls) == ["quick", "slow"]


async def test_a_failing_sibling_in_a_task_group_cancels_the_other(open_engine: OpenEngine) -> None:
    @step
    async def fails() -> None:
        message = "no"
        raise ValueError(message)

    @step
    async def waits() -> None:
        await asyncio.Event().wait()

    async def body(ctx: DurableContext) -> str:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(ctx.step(waits))
                group.create_task(ctx.step(fails))
        except ExceptionGroup as raised:
            return str([type(error).__name__ for error in raised.exceptions])
        return "no error"

    assert await live_and_replayed(open_engine, body) == ["['StepFailed']"] * 2


async def test_what_the_engine_cancels_journals_nothing(open_engine: OpenEngine) -> None:
    stage = Stage()

    @step
    async def forever() -> None:
        await stage.pause()

    async def body(ctx: DurableContext) -> None:
        await ctx.step(forever)

    program = version(body)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        await stage.reached.wait()
    async with open_engine(recover=False) as engine:
        rows = await engine.parts.backend.journal.read_execution(handle.id.bytes)
    assert [row.entry_kind for row in rows] == [EntryKind.EXECUTION_STARTED]


async def test_a_guarded_step_cancelled_before_it_began_is_not_called(
    open_engine: OpenEngine,
) -> None:
    calls: list[str] = []

    @step(effect=EffectClass.EXACTLY_ONCE_GUARDED, on_ambiguous=OnAmbiguous.FAIL)
    async def pay() -> str:
        calls.append("pay")
        return "paid"

    async def body(ctx: DurableContext) -> str:
        task = asyncio.create_task(ctx.step(pay))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        return "cancelled" if task.cancelled() else task.result()

    assert await live_and_replayed(open_engine, body) == ["cancelled", "cancelled"]
    assert calls == []


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("fails", [False, True])
async def test_a_guarded_function_that_cancels_its_own_execution_is_the_last_thing_that_is_done(
    open_engine: OpenEngine, *, waits: bool, fails: bool
) -> None:
    went_on: list[str] = []
    engines: list[DurableEngine] = []

    @step(effect=EffectClass.EXACTLY_ONCE_GUARDED)
    async def give_up() -> None:
        await engines[0].cancel(current_step().execution_id)
        if waits:
            await asyncio.sleep(0)
        if fails:
            raise LookupError

    async def body(ctx: DurableContext) -> None:
        try:
            await ctx.step(give_up)
            went_on.append("behind the step")
        except Exception:
            went_on.append("to compensate")
            raise

    program = version(body)
    async with open_engine(program) as engine:
        engines.append(engine)
        with pytest.raises(ExecutionCancelled):
            await (await engine.start(program)).result()
    assert went_on == []
