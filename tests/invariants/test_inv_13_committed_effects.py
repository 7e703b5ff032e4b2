"""INV-13: a committed guarded effect is never fired again, also in a fresh run."""

from __future__ import annotations

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
    ExecutionFailed,
    ReplayDivergence,
)
from durable_core.model.execution import Status
from tests.engines import OpenEngine
from tests.programs import Body, Stage, version


class Outside:
    """The outside world: what was charged, and steps that charge."""

    def __init__(self) -> None:
        self.charged: list[str] = []
        self.rendered: list[str] = []

        @step(
            name="charge",
            effect=EffectClass.EXACTLY_ONCE_GUARDED,
            sub_class=EffectIntentSubClass.MONEY_MOVING,
            on_ambiguous=OnAmbiguous.FAIL,
        )
        async def charge(who: str) -> str:
            self.charged.append(who)
            return f"receipt-{who}"

        @step(name="render")
        async def render(text: str) -> str:
            self.rendered.append(text)
            return f"<{text}>"

        @step(name="lookup", effect=EffectClass.IDEMPOTENT)
        async def lookup(text: str) -> str:
            self.rendered.append(text)
            return f"({text})"

        self.charge, self.render, self.lookup = charge, render, lookup


async def blocked_by(open_engine: OpenEngine, first: Body, second: Body) -> Any:
    """Run `first` up to its end but not beyond, then `second` until it blocks; the id."""
    stage = Stage()

    async def paused(ctx: DurableContext) -> object:
        result = await first(ctx)
        await stage.pause()
        return result

    before = version(paused)
    async with open_engine(before) as engine:
        handle = await engine.start(before)
        await stage.reached.wait()
    async with open_engine(version(second)) as engine:
        with pytest.raises(ReplayDivergence):
            await (await engine.get(handle.id)).result()
    return handle.id


async def test_a_fresh_run_takes_over_the_effect_wherever_it_now_stands(
    open_engine: OpenEngine,
) -> None:
    world = Outside()

    async def first(ctx: DurableContext) -> str:
        await ctx.step(world.render, "x")
        return await ctx.step(world.charge, "alice")

    async def moved(ctx: DurableContext) -> str:
        receipt = await ctx.step(world.charge, "alice")
        return receipt + await ctx.step(world.render, "x")

    execution_id = await blocked_by(open_engine, first, moved)
    async with open_engine(version(moved)) as engine:
        handle = await engine.resume(execution_id)
        assert await handle.result() == "receipt-alice<x>"
        await engine.verify()
    assert world.charged == ["alice"]
    assert world.rendered == ["x", "x"]


async def test_a_fresh_run_with_other_arguments_does_not_fire_and_blocks(
    open_engine: OpenEngine,
) -> None:
    world = Outside()

    async def first(ctx: DurableContext) -> str:
        return await ctx.step(world.charge, "alice")

    async def other(ctx: DurableContext) -> str:
        return await ctx.step(world.charge, "bob")

    execution_id = await blocked_by(open_engine, first, other)
    program = version(other)
    async with open_engine(program) as engine:
        handle = await engine.resume(execution_id)
        with pytest.raises(AmbiguousEffect, match="other arguments") as raised:
            await handle.result()
        assert "alice" not in str(raised.value)
        assert await handle.status() is Status.BLOCKED
    assert world.charged == ["alice"]
    async with open_engine(program) as engine:
        with pytest.raises(AmbiguousEffect):
            await (await engine.get(execution_id)).result()
        await engine.settle(execution_id, "0", ran=False)
        assert await (await engine.get(execution_id)).result() == "receipt-bob"
    assert world.charged == ["alice", "bob"]


async def test_the_same_effect_asked_for_twice_fires_twice(open_engine: OpenEngine) -> None:
    """The occurrence counts: two equal charges are two charges, and each is taken over once."""
    world = Outside()

    async def twice(ctx: DurableContext) -> list[str]:
        return [await ctx.step(world.charge, "alice"), await ctx.step(world.charge, "alice")]

    async def thrice(ctx: DurableContext) -> list[str]:
        await ctx.step(world.render, "first")
        return [await ctx.step(world.charge, "alice") for _ in range(2)]

    execution_id = await blocked_by(open_engine, twice, thrice)
    async with open_engine(version(thrice)) as engine:
        assert await (await engine.resume(execution_id)).result() == ["receipt-alice"] * 2
    assert world.charged == ["alice", "alice"]


async def test_a_run_of_idempotent_steps_starts_afresh_by_itself_and_only_so_often(
    open_engine: OpenEngine,
) -> None:
    world = Outside()
    stage = Stage()

    async def first(ctx: DurableContext) -> str:
        await ctx.step(world.lookup, "a")
        await stage.pause()
        return ""

    async def second(ctx: DurableContext) -> str:
        return await ctx.step(world.lookup, "b")

    before = version(first)
    async with open_engine(before) as engine:
        handle = await engine.start(before)
        await stage.reached.wait()
    async with open_engine(version(second)) as engine:
        resumed = await engine.get(handle.id)
        assert await resumed.result() == "(b)"
        assert (await engine.list())[0].generation == 1
    assert world.rendered == ["a", "b"]


async def test_one_divergence_too_many_aborts(open_engine: OpenEngine) -> None:
    world = Outside()
    stages = [Stage(), Stage()]

    def body(text: str, stage: Stage) -> Body:
        async def run(ctx: DurableContext) -> str:
            await ctx.step(world.lookup, text)
            await stage.pause()
            return ""

        return run

    program = version(body("a", stages[0]))
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        await stages[0].reached.wait()
    async with open_engine(version(body("b", stages[1]))) as engine:
        await stages[1].reached.wait()
    async with open_engine(version(body("c", Stage()))) as engine:
        resumed = await engine.get(handle.id)
        with pytest.raises(ReplayDivergence):
            await resumed.result()
        assert await resumed.status() is Status.ABORTED
    async with open_engine() as engine:
        with pytest.raises(ReplayDivergence):
            await (await engine.get(handle.id)).result()


async def test_a_resumed_failure_takes_over_every_result_and_no_failure(
    open_engine: OpenEngine,
) -> None:
    world = Outside()
    flaky = Stage()

    @step(name="flaky")
    async def fails_once() -> str:
        flaky.calls.append("call")
        if len(flaky.calls) == 1:
            message = "first"
            raise OSError(message)
        return "ok"

    async def body(ctx: DurableContext) -> str:
        parts = [
            await ctx.step(world.charge, "alice"),
            await ctx.step(world.render, "x"),
            await ctx.step(world.lookup, "y"),
        ]
        return "".join(parts) + await ctx.step(fails_once)

    program = version(body)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        with pytest.raises(ExecutionFailed) as failed:
            await handle.result()
        assert failed.value.error_type == "StepFailed"
        resumed = await engine.resume(handle.id)
        assert await resumed.result() == "receipt-alice<x>(y)ok"
        assert (await engine.list())[0].generation == 1
        await engine.verify()
    assert world.charged == ["alice"]
    assert world.rendered == ["x", "y"]
    assert flaky.calls == ["call", "call"]


async def test_an_open_intent_of_an_earlier_run_meets_its_policy(open_engine: OpenEngine) -> None:
    """The effect may have happened: a fresh run under SKIP does not call it."""
    stage = Stage()

    @step(name="notify", effect=EffectClass.EXACTLY_ONCE_GUARDED)
    async def notify(who: str) -> str:
        stage.calls.append(who)
        await stage.pause()
        return "sent"

    @step(name="extra")
    async def extra() -> str:
        return "extra"

    async def first(ctx: DurableContext) -> str | None:
        await ctx.step(extra)
        return await ctx.step(notify, "alice")

    async def moved(ctx: DurableContext) -> str | None:
        return await ctx.step(notify, "alice")

    before = version(first)
    async with open_engine(before, close_timeout_ms=1) as engine:
        handle = await engine.start(before)
        await stage.reached.wait()
    async with open_engine(version(moved), on_divergence="restart") as engine:
        assert await (await engine.get(handle.id)).result() is None
    assert stage.calls == ["alice"]
