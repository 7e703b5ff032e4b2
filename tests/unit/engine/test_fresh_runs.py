"""Fresh runs and what earlier ones did: taken over, met by its policy, settled (INV-13)."""

from __future__ import annotations

import asyncio

import pytest

from durable_core import DurableContext, EffectClass, OnAmbiguous, reconcile, step
from durable_core.errors import AmbiguousEffect, ExecutionFailed, ReplayDivergence
from durable_core.model.execution import Status
from tests.engines import OpenEngine
from tests.programs import Stage, version

GUARDED = EffectClass.EXACTLY_ONCE_GUARDED


async def test_a_replayed_take_over_has_claimed_its_effect(open_engine: OpenEngine) -> None:
    """Interrupted in generation 1: the effect that was taken over before is nobody's riddle."""
    stage = Stage()

    @step(name="charge", effect=GUARDED, on_ambiguous=OnAmbiguous.FAIL)
    async def charge(who: str) -> str:
        stage.calls.append(who)
        return f"receipt-{who}"

    @step(name="flaky")
    async def flaky() -> None:
        stage.calls.append("flaky")
        if stage.calls.count("flaky") == 1:
            raise OSError

    async def body(ctx: DurableContext) -> list[str]:
        first = await ctx.step(charge, "alice")
        await ctx.step(flaky)
        if not stage.gate.is_set():
            await stage.pause()
        return [first, await ctx.step(charge, "bob")]

    program = version(body)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        with pytest.raises(ExecutionFailed):
            await handle.result()
        await engine.resume(handle.id)
        await stage.reached.wait()
    stage.gate.set()
    async with open_engine(program) as engine:
        handle = await engine.get(handle.id)
        assert await handle.result() == ["receipt-alice", "receipt-bob"]
        assert (await engine.list())[0].generation == 1
    assert stage.calls == ["alice", "flaky", "flaky", "bob"]


@pytest.mark.parametrize("order", [("1", "2"), ("2", "1")])
async def test_of_several_prior_intents_those_that_block_can_be_settled(
    order: tuple[str, str], open_engine: OpenEngine
) -> None:
    """One is met under SKIP, one waits for an operator, one cannot be reconciled."""
    stage = Stage()

    async def fires(name: str) -> str:
        stage.calls.append(name)
        if len(stage.calls) == 3:
            stage.reached.set()
        await stage.gate.wait()
        return name

    async def ask(_key: bytes) -> str:
        message = "the line is dead"
        raise ConnectionError(message)

    @step(name="skipped", effect=GUARDED, on_ambiguous=OnAmbiguous.SKIP)
    async def skipped() -> str:
        return await fires("skipped")

    @step(name="held", effect=GUARDED, on_ambiguous=OnAmbiguous.FAIL)
    async def held() -> str:
        return await fires("held")

    @step(name="asked", effect=GUARDED, on_ambiguous=reconcile(ask))
    async def asked() -> str:
        return await fires("asked")

    async def three(ctx: DurableContext) -> list[str | None]:
        steps = (ctx.step(held), ctx.step(asked), ctx.step(skipped))
        return list(await asyncio.gather(*steps))

    async def moved(ctx: DurableContext) -> list[str | None]:
        await ctx.now()
        return await three(ctx)

    before = version(three)
    async with open_engine(before, close_timeout_ms=1) as engine:
        handle = await engine.start(before)
        await stage.reached.wait()
    stage.gate.set()
    async with open_engine(version(moved), on_divergence="restart") as engine:
        handle = await engine.get(handle.id)
        for step_id in order:
            with pytest.raises(AmbiguousEffect):
                await handle.result()
            await engine.settle(handle.id, step_id, ran=True, value=f"settled {step_id}")
        assert await handle.result() == ["settled 1", "settled 2", None]
        await engine.verify()
    assert sorted(stage.calls) == ["asked", "held", "skipped"]


async def test_an_effect_settled_as_not_run_does_not_stand_in_the_way(
    open_engine: OpenEngine,
) -> None:
    """A fresh run with other arguments may fire: nothing of that name has happened."""
    stage = Stage()

    @step(name="charge", effect=GUARDED, on_ambiguous=OnAmbiguous.FAIL)
    async def charge(who: str) -> str:
        stage.calls.append(who)
        if not stage.gate.is_set():
            await stage.pause()
        return who

    async def first(ctx: DurableContext) -> str:
        return await ctx.step(charge, "alice")

    async def other(ctx: DurableContext) -> str:
        return await ctx.step(charge, "bob")

    before, after = version(first), version(other)
    async with open_engine(before, close_timeout_ms=1) as engine:
        handle = await engine.start(before)
        await stage.reached.wait()
    stage.gate.set()
    async with open_engine(before) as engine:
        with pytest.raises(AmbiguousEffect):
            await (await engine.get(handle.id)).result()
    async with open_engine(after) as engine:
        handle = await engine.get(handle.id)
        await engine.settle(handle.id, "0", ran=False)
        with pytest.raises(ReplayDivergence):
            await handle.result()
        assert await handle.status() is Status.BLOCKED
        assert await (await engine.resume(handle.id)).result() == "bob"
    assert stage.calls == ["alice", "bob"]
