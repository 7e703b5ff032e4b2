"""INV-3: no journaled value without a fingerprint match; anything else is a divergence."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from durable_core import (
    DurableContext,
    EffectClass,
    OnAmbiguous,
    step,
)
from durable_core.errors import ReplayDivergence
from durable_core.model.execution import Status
from tests.engines import OpenEngine
from tests.programs import Body, Stage, version


@step
async def charge(name: str, cents: int) -> str:
    return f"{name}:{cents}"


@step(name="refund")
async def refund(name: str, cents: int) -> str:
    return f"back:{name}:{cents}"


@step(name="charge", effect=EffectClass.IDEMPOTENT)
async def charge_idempotent(name: str, cents: int) -> str:
    return f"other:{name}:{cents}"


@step(
    name="charge",
    effect=EffectClass.EXACTLY_ONCE_GUARDED,
    on_ambiguous=OnAmbiguous.SKIP,
)
async def charge_guarded(name: str, cents: int) -> str:
    return f"guarded:{name}:{cents}"


async def redeploy(open_engine: OpenEngine, first: Body, second: Body) -> BaseException:
    """Run `first` up to its stage, close, go on with `second`, and return what it raises."""
    stage = Stage()

    async def until_the_stage(ctx: DurableContext) -> object:
        result = await first(ctx)
        await stage.pause()
        return result

    before = version(until_the_stage)
    async with open_engine(before) as engine:
        handle = await engine.start(before)
        await stage.reached.wait()
    async with open_engine(version(second)) as engine:
        resumed = await engine.get(handle.id)
        with pytest.raises(ReplayDivergence) as raised:
            await resumed.result()
        assert await resumed.status() is Status.BLOCKED
        return raised.value


async def test_ec_18b_other_arguments_are_a_divergence_with_a_readable_account(
    open_engine: OpenEngine,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def alice(ctx: DurableContext) -> str:
        return await ctx.step(charge, "alice", 100)

    async def bob(ctx: DurableContext) -> str:
        return await ctx.step(charge, "bob", 100)

    with caplog.at_level(logging.ERROR, "durable_core.engine"):
        error = await redeploy(open_engine, alice, bob)
    for account in (str(error), caplog.text):
        assert "step 0" in account
        assert "'charge'" in account
        assert "argument 0;" in account
        assert "alice" not in account
        assert "bob" not in account


@pytest.mark.parametrize(
    ("changed", "account"),
    [
        (refund, "the name"),
        (charge_idempotent, "the effect class"),
        (charge_guarded, "the effect class"),
    ],
)
async def test_ec_12_another_name_or_effect_class_is_a_divergence(
    open_engine: OpenEngine,
    changed: Any,
    account: str,
) -> None:
    async def before(ctx: DurableContext) -> str:
        return await ctx.step(charge, "alice", 1)

    async def after(ctx: DurableContext) -> str:
        result: str = await ctx.step(changed, "alice", 1)
        return result

    error = await redeploy(open_engine, before, after)
    assert f"different: {account}" in str(error)


async def test_ec_18_ending_with_journaled_steps_unconsumed_is_a_divergence(
    open_engine: OpenEngine,
) -> None:
    async def two(ctx: DurableContext) -> None:
        await ctx.step(charge, "alice", 1)
        await ctx.step(refund, "alice", 1)

    async def one(ctx: DurableContext) -> str:
        return await ctx.step(charge, "alice", 1)

    error = await redeploy(open_engine, two, one)
    assert "without asking for journaled steps: 1 'refund'" in str(error)


async def test_a_step_that_has_no_entry_runs_fresh_beside_one_that_has(
    open_engine: OpenEngine,
) -> None:
    """With `gather(a, b)`, b finished and a not is a legal journal."""
    stage = Stage()

    @step
    async def first() -> str:
        if not stage.reached.is_set():
            await stage.pause()
        stage.calls.append("first")
        return "first"

    @step
    async def second() -> str:
        stage.calls.append("second")
        return "second"

    async def body(ctx: DurableContext) -> list[str]:
        one, two = ctx.step(first), ctx.step(second)
        done = [await two]
        return [await one, *done]

    program = version(body)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        await stage.reached.wait()
    async with open_engine(program) as engine:
        assert await (await engine.get(handle.id)).result() == ["first", "second"]
    assert stage.calls == ["second", "first"]
