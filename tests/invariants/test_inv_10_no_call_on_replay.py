"""INV-10: replayed steps never run their function."""

from __future__ import annotations

import pytest

from durable_core import (
    DurableContext,
    EffectClass,
    OnAmbiguous,
    RetryPolicy,
    step,
)
from durable_core.errors import StepFailed
from tests.engines import OpenEngine
from tests.programs import Stage, version


@pytest.mark.parametrize("effect", list(EffectClass))
async def test_ec_11_a_replayed_step_returns_its_value_without_a_call(
    open_engine: OpenEngine,
    effect: EffectClass,
) -> None:
    stage = Stage()
    guarded = effect is EffectClass.EXACTLY_ONCE_GUARDED

    @step(effect=effect, on_ambiguous=OnAmbiguous.FAIL if guarded else None)
    async def count() -> int:
        stage.calls.append("count")
        return len(stage.calls)

    async def body(ctx: DurableContext) -> list[int]:
        values = [await ctx.step(count), await ctx.step(count)]
        await stage.pause()
        return values

    program = version(body)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        await stage.reached.wait()
    stage.gate.set()
    async with open_engine(program) as engine:
        assert await (await engine.get(handle.id)).result() == [1, 2]
    assert stage.calls == ["count", "count"]


async def test_ec_11_a_replayed_failure_raises_an_equal_failure(open_engine: OpenEngine) -> None:
    stage = Stage()
    seen: list[tuple[str, str, str, str]] = []

    @step(retry=RetryPolicy(attempts=2, initial=0))
    async def declined() -> None:
        stage.calls.append("declined")
        message = "no funds"
        raise LookupError(message)

    async def body(ctx: DurableContext) -> str:
        try:
            await ctx.step(declined)
        except StepFailed as failure:
            seen.append((failure.step, failure.error_type, failure.message, str(failure)))
            await stage.pause()
            return "caught"
        return "missed"

    program = version(body)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        await stage.reached.wait()
    stage.gate.set()
    async with open_engine(program) as engine:
        assert await (await engine.get(handle.id)).result() == "caught"
    assert stage.calls == ["declined", "declined"]
    assert seen[0] == seen[1]
    assert seen[0][1:3] == ("LookupError", "no funds")
    assert "no funds" not in seen[0][3]


async def test_a_finished_execution_is_answered_from_the_journal(open_engine: OpenEngine) -> None:
    stage = Stage()

    @step
    async def once() -> str:
        stage.calls.append("once")
        return "value"

    async def body(ctx: DurableContext) -> str:
        return await ctx.step(once)

    program = version(body)
    async with open_engine(program) as engine:
        assert await engine.run(program, key="k") == "value"
    async with open_engine(program) as engine:
        assert await engine.run(program, key="k") == "value"
    assert stage.calls == ["once"]
