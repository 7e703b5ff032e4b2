"""Steps: retries, time limits, threads, direct calls, and what is refused."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from durable_core import (
    DurableContext,
    EffectClass,
    OnAmbiguous,
    RetryPolicy,
    current_step,
    step,
    workflow,
)
from durable_core.engine import StepDescriptor
from durable_core.errors import (
    AmbiguousEffect,
    ConfigError,
    DecodeError,
    ExecutionError,
    ExecutionFailed,
    PayloadTooLarge,
    StepCapExceeded,
    StepFailed,
)
from durable_core.model.entries import EntryKind
from tests.engines import OpenEngine
from tests.programs import Stage, version

GUARDED = EffectClass.EXACTLY_ONCE_GUARDED


@step
async def echo(value: str) -> str:
    return value


async def test_retries_end_with_the_last_error_and_the_number_of_attempts(
    open_engine: OpenEngine,
) -> None:
    attempts: list[int] = []

    @step(retry=RetryPolicy(attempts=3, initial=0, retry_on=(OSError,)))
    async def flaky(until: int) -> int:
        attempts.append(current_step().attempt)
        if len(attempts) < until:
            message = "again"
            raise OSError(message)
        return len(attempts)

    async def body(ctx: DurableContext) -> Any:
        first = await ctx.step(flaky, 2)
        attempts.clear()
        with pytest.raises(StepFailed) as failed:
            await ctx.step(flaky, 9)
        return [first, failed.value.error_type, str(failed.value.__cause__)]

    program = version(body)
    async with open_engine(program) as engine:
        assert await engine.run(program) == [2, "OSError", "again"]
    assert attempts == [1, 2, 3]


async def test_an_error_that_is_not_listed_is_not_retried(open_engine: OpenEngine) -> None:
    calls: list[int] = []

    @step(retry=RetryPolicy(attempts=5, initial=0, retry_on=(OSError,)))
    async def wrong() -> None:
        calls.append(1)
        raise KeyError

    async def body(ctx: DurableContext) -> None:
        await ctx.step(wrong)

    program = version(body)
    async with open_engine(program) as engine:
        with pytest.raises(ExecutionFailed):
            await engine.run(program)
    assert calls == [1]


async def test_a_guarded_step_is_retried_only_after_errors_declared_safe(
    open_engine: OpenEngine,
) -> None:
    calls: list[bytes] = []

    @step(
        effect=GUARDED,
        safe_to_retry=(ConnectionRefusedError,),
        retry=RetryPolicy(attempts=3, initial=0),
    )
    async def pay(error: str) -> str:
        calls.append(current_step().idempotency_key)
        if len(calls) == 1:
            raise {"safe": ConnectionRefusedError, "unsafe": ConnectionResetError}[error]
        return "paid"

    async def body(ctx: DurableContext) -> list[str]:
        first = await ctx.step(pay, "safe")
        calls.clear()
        try:
            second = await ctx.step(pay, "unsafe")
        except StepFailed as failed:
            second = failed.error_type
        return [first, second]

    program = version(body)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        assert await handle.result() == ["paid", "ConnectionResetError"]
        rows = await engine.parts.backend.journal.read_execution(handle.id.bytes)
    assert len(calls) == 1
    intents = [row for row in rows if row.entry_kind == EntryKind.EFFECT_INTENT]
    assert len(intents) == 2


async def test_a_plain_function_runs_in_a_thread_and_sees_its_step(open_engine: OpenEngine) -> None:
    @step
    def plain(word: str) -> list[str]:
        return [word, current_step().name, threading.current_thread().name]

    async def body(ctx: DurableContext) -> list[str]:
        return await ctx.step(plain, "x")

    program = version(body)
    async with open_engine(program) as engine:
        word, name, thread = await engine.run(program)
    assert word == "x"
    assert name.endswith("plain")
    assert thread.startswith("durable-step")


async def test_a_time_limit_fails_the_step(open_engine: OpenEngine) -> None:
    @step(timeout=0.01)
    async def slow() -> None:
        await asyncio.Event().wait()

    async def body(ctx: DurableContext) -> str:
        try:
            await ctx.step(slow)
        except StepFailed as failed:
            return failed.error_type
        return "none"

    program = version(body)
    async with open_engine(program) as engine:
        assert await engine.run(program) == "TimeoutError"


async def test_a_timed_out_thread_is_not_retried_before_it_ends(open_engine: OpenEngine) -> None:
    running = threading.Semaphore(1)
    gate = threading.Event()
    overlaps: list[bool] = []
    calls: list[int] = []

    @step(timeout=0.01, retry=RetryPolicy(attempts=2, initial=0))
    def slow() -> str:
        overlaps.append(not running.acquire(blocking=False))
        calls.append(1)
        try:
            if len(calls) == 1:
                gate.wait(10)
            return "done"
        finally:
            running.release()

    async def body(ctx: DurableContext) -> str:
        asyncio.get_running_loop().call_later(0.05, gate.set)
        return await ctx.step(slow)

    program = version(body)
    async with open_engine(program) as engine:
        assert await engine.run(program) == "done"
    assert overlaps == [False, False]


@pytest.mark.parametrize("plain", [False, True])
async def test_a_guarded_step_that_times_out_is_ambiguous(
    open_engine: OpenEngine,
    *,
    plain: bool,
) -> None:
    gate = threading.Event()

    @step(effect=GUARDED, on_ambiguous=OnAmbiguous.FAIL, timeout=0.01)
    async def pay() -> str:
        await asyncio.Event().wait()
        return "paid"

    @step(effect=GUARDED, on_ambiguous=OnAmbiguous.FAIL, timeout=0.01)
    def pay_plainly() -> str:
        gate.wait(10)
        return "paid"

    async def body(ctx: DurableContext) -> str:
        return await ctx.step(pay_plainly if plain else pay)

    program = version(body)
    async with open_engine(program) as engine:
        with pytest.raises(AmbiguousEffect):
            await engine.run(program)
        gate.set()


async def test_a_step_called_directly_in_the_workflow_is_journaled(open_engine: OpenEngine) -> None:
    inner: list[str] = []

    @step
    async def outer(value: str) -> str:
        inner.append(await echo(value))
        return value

    async def body(ctx: DurableContext) -> str:
        del ctx
        return await echo("a") + await outer("b")

    program = version(body)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        assert await handle.result() == "ab"
        rows = await engine.parts.backend.journal.read_execution(handle.id.bytes)
    assert [row.step_id for row in rows if row.step_id] == ["0", "1"]
    assert inner == ["b"]
    assert await echo("outside") == "outside"


async def test_an_undecorated_function_and_a_descriptor_are_steps_too(
    open_engine: OpenEngine,
) -> None:
    async def plain(number: int) -> int:
        return number + 1

    async def body(ctx: DurableContext) -> list[int]:
        descriptor = StepDescriptor(name="explicit", effect=EffectClass.IDEMPOTENT)
        return [await ctx.step(plain, 1), await ctx.run(descriptor, lambda: 5)]

    program = version(body)
    async with open_engine(program) as engine:
        assert await engine.run(program) == [2, 5]


async def test_a_step_that_is_never_awaited_is_reported(
    open_engine: OpenEngine,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def body(ctx: DurableContext) -> None:
        ctx.step(echo, "lost")

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
            kept[0].step(echo, "late")
        with pytest.raises(ExecutionError, match="belongs"):
            kept[0].uuid()
    with pytest.raises(ConfigError, match="outside"):
        current_step()


async def test_the_step_cap_is_a_mistake_of_the_caller(open_engine: OpenEngine) -> None:
    async def body(ctx: DurableContext) -> int:
        count = 0
        try:
            while True:
                await ctx.step(echo, "x")
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
            ctx.step(take, threading.Lock())
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
