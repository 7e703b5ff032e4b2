"""What closing and cancelling let steps do: clean up, end, and leave no doubt behind."""

from __future__ import annotations

import asyncio
import logging
from contextlib import ExitStack
from typing import Any

import pytest

from durable_core import DurableContext, EffectClass, OnAmbiguous, step
from durable_core.model.entries import EntryKind
from tests.engines import OpenEngine
from tests.holding import held
from tests.programs import Body, Stage, version

GUARDED = EffectClass.EXACTLY_ONCE_GUARDED
LONGEST_S = 20.0


WHERE = ["in its own task", "gathered", "shielded"]


def calling(call: Any, where: str) -> Body:
    """A body of one step, in its own task or in another, whose end it waits for or not."""

    async def body(ctx: DurableContext) -> Any:
        match where:
            case "gathered":
                return (await asyncio.gather(ctx.step(call)))[0]
            case "shielded":
                return await asyncio.shield(asyncio.create_task(ctx.step(call)))
            case _:
                return await ctx.step(call)

    return body


async def test_a_function_that_swallows_its_cancellation_is_left_behind(
    open_engine: OpenEngine, caplog: pytest.LogCaptureFixture
) -> None:
    stage = Stage()

    @step(name="stubborn", effect=GUARDED, on_ambiguous=OnAmbiguous.FAIL)
    async def stubborn() -> None:
        while not stage.gate.is_set():
            try:
                await stage.pause()
            except asyncio.CancelledError:
                stage.calls.append("cancelled")

    async def body(ctx: DurableContext) -> None:
        await ctx.step(stubborn)

    program = version(body)
    async with asyncio.timeout(LONGEST_S):
        async with open_engine(program, close_timeout_ms=50) as engine:
            await engine.start(program)
            await stage.reached.wait()
    assert stage.calls == ["cancelled"]
    assert "1 executions swallow their cancellation and were left behind" in caplog.text
    stage.gate.set()
    late = asyncio.all_tasks() - {asyncio.current_task()}
    assert late
    await asyncio.wait(late)


def rolling_back(stage: Stage) -> Any:
    """A step that waits at the stage, and whose clean-up takes longer than all else that ends."""

    @step(name="transaction")
    async def transaction() -> None:
        try:
            await stage.pause()
        except asyncio.CancelledError:
            stage.calls.append("cancelled")
            raise
        finally:
            released = asyncio.Event()
            asyncio.get_running_loop().call_later(0.05, released.set)
            await released.wait()
            stage.calls.append("rolled back")

    return transaction


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("how", ["close", "cancel"])
async def test_a_step_that_is_cut_off_may_clean_up(
    how: str, where: str, open_engine: OpenEngine
) -> None:
    """A `finally` that awaits runs to its end: a transaction is rolled back, a lock released."""
    stage = Stage()
    program = version(calling(rolling_back(stage), where))
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        await stage.reached.wait()
        if how == "cancel":
            await handle.cancel()
            assert stage.calls == ["cancelled", "rolled back"]
    assert stage.calls == ["cancelled", "rolled back"]
    async with open_engine() as engine:
        rows = await engine.parts.backend.journal.read_execution(handle.id.bytes)
    assert EntryKind.STEP_FAILED not in {row.entry_kind for row in rows}


async def test_a_step_that_its_workflow_leaves_behind_may_clean_up(
    open_engine: OpenEngine,
) -> None:
    stage = Stage()
    tasks: list[asyncio.Task[None]] = []
    transaction = rolling_back(stage)

    async def body(ctx: DurableContext) -> str:
        tasks.append(asyncio.create_task(ctx.step(transaction)))
        await stage.reached.wait()
        return "done"

    program = version(body)
    async with open_engine(program) as engine:
        assert await engine.run(program) == "done"
        assert stage.calls == ["cancelled", "rolled back"]


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("policy", [OnAmbiguous.FAIL, OnAmbiguous.SKIP])
async def test_an_intent_on_its_way_is_taken_back(
    policy: OnAmbiguous,
    where: str,
    open_engine: OpenEngine,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its function was not called, and the journal says so: there is nothing to resolve."""
    calls: list[str] = []
    ended = asyncio.Event()

    @step(name="pay", effect=GUARDED, on_ambiguous=policy)
    async def pay() -> str:
        calls.append("pay")
        return "paid"

    async def body(ctx: DurableContext) -> Any:
        try:
            return await calling(pay, where)(ctx)
        finally:
            ended.set()

    program = version(body)
    commits: asyncio.Queue[Stage] = asyncio.Queue()

    async def live(holding: ExitStack) -> None:
        async with open_engine(program) as engine:
            commit = holding.enter_context(held(engine.parts.backend.journal, "append", skip=1))
            await engine.start(program, key="k")
            await commit.reached.wait()
            commits.put_nowait(commit)

    with ExitStack() as holding:
        life = asyncio.create_task(live(holding))
        commit = await commits.get()
        await ended.wait()
        assert not life.done()
        commit.gate.set()
        await life
    assert calls == []
    with caplog.at_level(logging.WARNING, "durable_core.audit"):
        async with open_engine(program) as engine:
            assert await (await engine.get((program, "k"))).result(LONGEST_S) == "paid"
    assert calls == ["pay"]
    assert "ambiguous effect" not in caplog.text
