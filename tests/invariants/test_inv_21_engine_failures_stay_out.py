"""INV-21: the engine's own failures never enter user code."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from durable_core import (
    DurableContext,
    EffectClass,
    EffectIntentSubClass,
    OnAmbiguous,
    step,
)
from durable_core.errors import (
    AmbiguousEffect,
    DurableError,
    ExecutionError,
    ExecutionFenced,
    JournalUnavailable,
    ReplayDivergence,
    StepFailed,
)
from durable_core.model.execution import Status
from tests.engines import OpenEngine
from tests.holding import failing
from tests.programs import Body, Stage, version

pytestmark = pytest.mark.dialects


@step
async def work(name: str) -> str:
    return name


def compensating(stage: Stage, before: Body) -> Body:
    """A body that refunds whatever goes wrong: exactly what must not happen here."""

    async def body(ctx: DurableContext) -> object:
        try:
            return await before(ctx)
        except Exception:
            stage.calls.append("refund")
            await ctx.step(work, "refund")
            raise

    return body


async def test_ec_32b_a_divergence_does_not_refund(open_engine: OpenEngine) -> None:
    stage = Stage()

    async def alice(ctx: DurableContext) -> None:
        await ctx.step(work, "alice")
        await stage.pause()

    async def bob(ctx: DurableContext) -> None:
        await ctx.step(work, "bob")

    before = version(compensating(stage, alice))
    async with open_engine(before) as engine:
        handle = await engine.start(before)
        await stage.reached.wait()
    async with open_engine(version(compensating(stage, bob))) as engine:
        with pytest.raises(ReplayDivergence):
            await (await engine.get(handle.id)).result()
    assert stage.calls == []


async def test_ec_32b_an_open_intent_does_not_refund(open_engine: OpenEngine) -> None:
    stage = Stage()

    @step(
        effect=EffectClass.EXACTLY_ONCE_GUARDED,
        sub_class=EffectIntentSubClass.DESTRUCTIVE,
        on_ambiguous=OnAmbiguous.FAIL,
    )
    async def delete() -> None:
        await stage.pause()

    async def body(ctx: DurableContext) -> None:
        await ctx.step(delete)

    program = version(compensating(stage, body))
    async with open_engine(program, close_timeout_ms=1) as engine:
        handle = await engine.start(program)
        await stage.reached.wait()
    async with open_engine(program) as engine:
        with pytest.raises(AmbiguousEffect, match="settle"):
            await (await engine.get(handle.id)).result()
    assert stage.calls == []


async def test_ec_32b_a_fence_does_not_refund(open_engine: OpenEngine) -> None:
    stage = Stage()

    async def body(ctx: DurableContext) -> None:
        await stage.pause()
        await ctx.step(work, "late")
        await ctx.now()

    program = version(compensating(stage, body))
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        await stage.reached.wait()
        row = await engine.parts.backend.load(handle.id.bytes)
        assert row is not None
        assert await engine.parts.backend.claim(row, "somebody-else", 0) is not None
        stage.gate.set()
        with pytest.raises(ExecutionFenced):
            await handle.result()
        with pytest.raises(JournalUnavailable):
            await engine.flush()
    assert stage.calls == []


async def test_ec_32b_a_full_disk_does_not_refund(open_engine: OpenEngine) -> None:
    stage = Stage()
    full = JournalUnavailable("the disk is full")

    @step(effect=EffectClass.EXACTLY_ONCE_GUARDED, on_ambiguous=OnAmbiguous.FAIL)
    async def pay() -> str:
        return "paid"

    async def body(ctx: DurableContext) -> str:
        if not stage.gate.is_set():
            await stage.pause()
        return await ctx.step(pay)

    program = version(compensating(stage, body))
    async with open_engine(program) as engine:
        backend = engine.parts.backend
        handle = await engine.start(program)
        await stage.reached.wait()
        with failing(backend.journal, "append", full), failing(backend, "probe", *[full] * 100):
            stage.gate.set()
            with pytest.raises(JournalUnavailable, match="the disk is full"):
                await handle.result()
        with pytest.raises(JournalUnavailable):
            await engine.flush()
    async with open_engine(program) as engine:
        assert await (await engine.get(handle.id)).result() == "paid"
    assert stage.calls == []


async def swallows_cancellation(ctx: DurableContext, stage: Stage) -> None:
    try:
        await asyncio.gather(ctx.step(work, "bob"))
    except asyncio.CancelledError:
        stage.calls.append("cancelled")
    stage.calls.append("went on")


async def swallows_everything(ctx: DurableContext, stage: Stage) -> str:
    try:
        await ctx.step(work, "bob")
    except BaseException:  # noqa: BLE001 - this is the point of the test
        return "compensated"
    stage.calls.append("went on")
    return "went on"


async def swallows_everything_and_waits(ctx: DurableContext, stage: Stage) -> None:
    try:
        await ctx.step(work, "bob")
    except BaseException:  # noqa: BLE001 - this is the point of the test
        await asyncio.sleep(0)
    stage.calls.append("went on")


async def waits_at_last(ctx: DurableContext, stage: Stage) -> None:
    try:
        await asyncio.gather(ctx.step(work, "bob"))
    finally:
        await asyncio.sleep(0)
        stage.calls.append("went on")


@pytest.mark.parametrize(
    "bob",
    [swallows_cancellation, swallows_everything, swallows_everything_and_waits, waits_at_last],
)
async def test_a_workflow_that_swallows_everything_is_closed_and_not_resumed(
    bob: Callable[[DurableContext, Stage], Coroutine[Any, Any, Any]],
    open_engine: OpenEngine,
) -> None:
    """What it returns all the same is no result."""
    stage = Stage()

    async def alice(ctx: DurableContext) -> None:
        await ctx.step(work, "alice")
        await stage.pause()

    before = version(alice)
    async with open_engine(before) as engine:
        handle = await engine.start(before)
        await stage.reached.wait()
    async with open_engine(version(lambda ctx: bob(ctx, stage))) as engine:
        handle = await engine.get(handle.id)
        with pytest.raises(ReplayDivergence):
            await handle.result()
        assert await handle.status() is Status.BLOCKED
    assert stage.calls == []


async def test_the_coroutine_is_closed_and_its_calls_are_refused(open_engine: OpenEngine) -> None:
    """A `finally` runs when the coroutine is closed; what it asks of the engine is refused."""
    stage = Stage()
    refused: list[DurableError] = []

    async def alice(ctx: DurableContext) -> None:
        await ctx.step(work, "alice")
        await stage.pause()

    async def bob(ctx: DurableContext) -> None:
        try:
            await ctx.step(work, "bob")
        finally:
            try:
                ctx.step(work, "refund").close()
            except ExecutionError as error:
                refused.append(error)

    before = version(alice)
    async with open_engine(before) as engine:
        handle = await engine.start(before)
        await stage.reached.wait()
    async with open_engine(version(bob)) as engine:
        with pytest.raises(ReplayDivergence):
            await (await engine.get(handle.id)).result()
    assert [type(error) for error in refused] == [ExecutionError]


async def test_a_divergence_within_gather_ends_the_siblings_too(open_engine: OpenEngine) -> None:
    stage = Stage()

    @step
    async def sibling() -> str:
        stage.calls.append("sibling")
        await asyncio.Event().wait()
        return "never"

    async def alice(ctx: DurableContext) -> None:
        await ctx.step(work, "alice")
        await stage.pause()

    async def bob(ctx: DurableContext) -> None:
        try:
            await asyncio.gather(ctx.step(work, "bob"), ctx.step(sibling))
        except Exception:  # noqa: BLE001 - this is the point of the test
            stage.calls.append("refund")

    before = version(alice)
    async with open_engine(before) as engine:
        handle = await engine.start(before)
        await stage.reached.wait()
    async with open_engine(version(bob)) as engine:
        with pytest.raises(ReplayDivergence):
            await (await engine.get(handle.id)).result()
    assert "refund" not in stage.calls


async def test_step_failed_and_mistakes_of_the_caller_do_reach_user_code(
    open_engine: OpenEngine,
) -> None:
    @step
    async def fails() -> None:
        message = "no"
        raise ValueError(message)

    async def body(ctx: DurableContext) -> list[str]:
        seen: list[str] = []
        for call in (
            lambda: ctx.step(fails),
            lambda: ctx.step(work, "a", "b"),  # type: ignore[call-overload]
            lambda: ctx.step(work, object()),  # type: ignore[call-overload]
        ):
            try:
                await call()
            except (StepFailed, TypeError, DurableError) as error:
                seen.append(type(error).__name__)
        return seen

    program = version(body)
    async with open_engine(program) as engine:
        assert await engine.run(program) == ["StepFailed", "TypeError", "DecodeError"]
