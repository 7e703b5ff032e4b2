"""Steps that are refused or left behind, and what a context derives."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from durable_core import (
    DurableContext,
    EffectClass,
    current_step,
    step,
    workflow,
)
from durable_core.errors import (
    ConfigError,
    DecodeError,
    ExecutionError,
    PayloadTooLarge,
    StepCapExceeded,
    StepFailed,
)
from tests.engines import OpenEngine
from tests.programs import Stage, version

GUARDED = EffectClass.EXACTLY_ONCE_GUARDED


@step
async def echo(value: str) -> str:
    return value


async def test_a_step_that_is_never_awaited_is_reported(
    open_engine: OpenEngine,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def body(ctx: DurableContext) -> None:
        _ = ctx.step(echo, "lost")

    program = version(body)
    async with open_engine(program) as engine:
        await engine.run(program)
    assert "step 0" in caplog.text
    assert "never awaited" in caplog.text


async def test_a_step_left_running_is_cancelled_with_its_workflow(open_engine: OpenEngine) -> None:
    stage = Stage()

    @step
    async def forever() -> None:
        stage.calls.append("begun")
        try:
            await asyncio.Event().wait()
        finally:
            stage.calls.append("ended")

    tasks: list[asyncio.Task[None]] = []

    async def body(ctx: DurableContext) -> str:
        tasks.append(asyncio.create_task(ctx.step(forever)))
        await ctx.step(echo, "x")
        return "done"

    program = version(body)
    async with open_engine(program) as engine:
        assert await engine.run(program) == "done"
    assert stage.calls == ["begun", "ended"]


async def test_calls_outside_a_running_workflow_are_refused(
    open_engine: OpenEngine,
) -> None:
    kept: list[DurableContext] = []

    async def body(ctx: DurableContext) -> None:
        kept.append(ctx)

    program = version(body)
    async with open_engine(program) as engine:
        await engine.run(program)
        with pytest.raises(ExecutionError, match="ended"):
            _ = kept[0].step(echo, "late")
        with pytest.raises(ExecutionError, match="belongs"):
            kept[0].uuid()
    with pytest.raises(ConfigError, match="outside"):
        current_step()


async def test_the_step_cap_is_a_mistake_of_the_caller(open_engine: OpenEngine) -> None:
    """Of steps that cannot be folded: guarded ones."""

    @step(effect=GUARDED)
    async def charge(value: str) -> str:
        return value

    async def body(ctx: DurableContext) -> int:
        count = 0
        try:
            while True:
                await ctx.step(charge, "x")
                count += 1
        except StepCapExceeded:
            return count

    program = version(body)
    async with open_engine(program, max_steps_per_execution=7) as engine:
        assert await engine.run(program) == 7


async def test_what_cannot_be_encoded_is_refused_with_the_steps_name(
    open_engine: OpenEngine,
) -> None:
    @step(name="lock-maker")
    async def make() -> Any:
        return threading.Lock()

    @step(name="taker")
    async def take(value: Any) -> None:
        del value

    async def body(ctx: DurableContext) -> list[str]:
        with pytest.raises(DecodeError, match="'taker'"):
            _ = ctx.step(take, threading.Lock())
        with pytest.raises(StepFailed, match="'lock-maker'") as failed:
            await ctx.step(make)
        assert isinstance(failed.value.__cause__, DecodeError)
        return [failed.value.error_type]

    program = version(body)
    async with open_engine(program) as engine:
        assert await engine.run(program) == ["DecodeError"]


async def test_an_oversized_result_fails_the_step_and_an_oversized_argument_the_start(
    open_engine: OpenEngine,
) -> None:
    @step
    async def big() -> bytes:
        return bytes(5000)

    async def body(ctx: DurableContext) -> str:
        with pytest.raises(StepFailed) as failed:
            await ctx.step(big)
        return failed.value.error_type

    @workflow
    async def takes_bytes(ctx: DurableContext, data: bytes) -> int:
        del ctx
        return len(data)

    program = version(body)
    async with open_engine(program, takes_bytes, max_payload_bytes=4096) as engine:
        assert await engine.run(program) == "PayloadTooLarge"
        with pytest.raises(PayloadTooLarge):
            await engine.start(takes_bytes, b"x" * 5000)
        assert await engine.list(workflow=takes_bytes.name) == []


async def test_time_and_randomness_agree_on_replay(open_engine: OpenEngine) -> None:
    stage = Stage()
    seen: list[list[object]] = []

    async def body(ctx: DurableContext) -> None:
        seen.append([await ctx.now(), ctx.uuid(), ctx.uuid(), ctx.random(), ctx.random()])
        if not stage.gate.is_set():
            await stage.pause()

    program = version(body)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        await stage.reached.wait()
    stage.gate.set()
    async with open_engine(program) as engine:
        await (await engine.get(handle.id)).result()
        await engine.run(program)
    assert seen[0] == seen[1]
    assert seen[0] != seen[2]
    assert len(set(map(str, seen[0]))) == 5
    assert all(0 <= float(str(draw)) < 1 for draw in seen[0][3:])


async def test_is_replaying_says_whether_journaled_steps_are_ahead(open_engine: OpenEngine) -> None:
    stage = Stage()
    seen: list[bool] = []

    async def body(ctx: DurableContext) -> None:
        seen.append(ctx.is_replaying)
        await ctx.step(echo, "x")
        seen.append(ctx.is_replaying)
        if not stage.gate.is_set():
            await stage.pause()

    program = version(body)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        await stage.reached.wait()
    stage.gate.set()
    async with open_engine(program) as engine:
        await (await engine.get(handle.id)).result()
    assert seen == [False, False, True, False]
