"""Guarded steps of helpers: what was committed is not fired again, wherever it stands (INV-13)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable

import pytest

from durable_core import (
    DurableContext,
    EffectClass,
    OnAmbiguous,
    current_step,
    step,
)
from durable_core.errors import (
    AmbiguousEffect,
    ExecutionFailed,
    StepFailed,
)
from durable_core.model.effects import EffectIntentSubClass
from durable_core.model.entries import EntryKind
from tests.engines import OpenEngine
from tests.programs import Stage, version
from tests.unit.engine.placing import rows_of


async def test_inv_13_an_open_intent_meets_its_policy_with_its_own_key(
    open_engine: OpenEngine,
) -> None:
    """Whatever the branch's own task calls meanwhile: the keys of the two never meet."""
    stage = Stage()
    keys: list[tuple[str, bytes]] = []

    @step(
        name="pay",
        effect=EffectClass.EXACTLY_ONCE_GUARDED,
        sub_class=EffectIntentSubClass.MONEY_MOVING,
        on_ambiguous=OnAmbiguous.RERUN,
    )
    async def pay() -> str:
        keys.append((current_step().step_id, current_step().idempotency_key))
        if not stage.gate.is_set() and len(keys) == 2:
            await stage.pause()
        return "paid"

    async def helper() -> str:
        if not stage.gate.is_set():
            return await pay()
        await asyncio.sleep(0.01)  # the branch's own call comes first this time
        return await pay()

    async def body(ctx: DurableContext) -> list[str]:
        task = asyncio.create_task(helper())
        await asyncio.sleep(0)
        return [await ctx.step(pay), await task]

    program = version(body)
    async with open_engine(program, close_timeout_ms=1) as engine:
        handle = await engine.start(program)
        await stage.reached.wait()
        await engine.flush()
    stage.gate.set()
    async with open_engine(program) as engine:
        assert await (await engine.get(handle.id)).result() == ["paid", "paid"]
        rows = await rows_of(engine, handle.id)
    by_place = dict(keys)
    assert len(keys) >= 3, "one was called again"
    assert len(by_place) == len(set(by_place.values())) == 2
    assert {(row.step_id, row.idem_key) for row in rows} == set(by_place.items())
    closed = [row for row in rows if row.entry_kind == EntryKind.STEP_RESULT]
    assert len(closed) == 2


@pytest.mark.parametrize("form", ["helpers", "branches", "created first"])
async def test_inv_13_a_fresh_run_takes_over_what_succeeded_beside_a_failure(
    form: str, open_engine: OpenEngine
) -> None:
    """The one that failed is called again first; it does not take the others' effects for lost."""
    calls: list[str] = []
    fail = True

    @step(name="pay", effect=EffectClass.EXACTLY_ONCE_GUARDED, on_ambiguous=OnAmbiguous.FAIL)
    async def pay(who: str) -> str:
        calls.append(who)
        if who == "a" and fail:
            raise LookupError
        return who

    async def outcome_of(call: Awaitable[str]) -> str:
        try:
            return await call
        except StepFailed:
            return "failed"

    async def line(ctx: DurableContext, who: str) -> str:
        return await outcome_of(ctx.step(pay, who))

    async def body(ctx: DurableContext) -> list[str]:
        if form == "created first":
            calls_ahead = [ctx.step(pay, who) for who in "abcd"]
            seen = [await outcome_of(call) for call in calls_ahead]
        elif form == "helpers":
            seen = list(await asyncio.gather(*(line(ctx, who) for who in "abcd")))
        else:
            async with ctx.parallel() as group:
                tasks = [group.start(line, who) for who in "abcd"]
            seen = [task.result() for task in tasks]
        if "failed" in seen:
            raise LookupError
        return seen

    program = version(body)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        with pytest.raises(ExecutionFailed):
            await handle.result()
        fail = False
        assert await (await engine.resume(handle.id)).result() == list("abcd")
    assert Counter(calls) == Counter("aabcd")


async def test_a_guarded_step_that_moves_into_a_helper_is_not_fired_again(
    open_engine: OpenEngine,
) -> None:
    calls: list[str] = []

    @step(name="pay", effect=EffectClass.EXACTLY_ONCE_GUARDED, on_ambiguous=OnAmbiguous.FAIL)
    async def pay(who: str) -> str:
        calls.append(who)
        return who

    async def before(ctx: DurableContext) -> None:
        await ctx.step(pay, "a")
        raise LookupError

    async def after(ctx: DurableContext) -> None:
        async def helper() -> None:
            await ctx.step(pay, "a")

        await asyncio.create_task(helper())

    program = version(before)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        with pytest.raises(ExecutionFailed):
            await handle.result()
    async with open_engine(version(after)) as engine:
        with pytest.raises(AmbiguousEffect, match="stands in another branch"):
            await (await engine.resume(handle.id)).result()
    assert calls == ["a"]
