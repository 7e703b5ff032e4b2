"""Steps: retries, time limits, threads, direct calls."""

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
)
from durable_core.engine import StepDescriptor
from durable_core.errors import (
    AmbiguousEffect,
    ExecutionFailed,
    StepFailed,
)
from durable_core.model.entries import EntryKind
from tests.engines import OpenEngine
from tests.holding import turns
from tests.passing import Passing
from tests.programs import version

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


async def test_a_timed_out_thread_is_not_retried_before_it_ends(
    open_engine: OpenEngine, passing: Passing
) -> None:
    loop = asyncio.get_running_loop()
    running = threading.Semaphore(1)
    gate = threading.Event()
    overlaps: list[bool] = []
    calls: list[int] = []

    async def late() -> None:
        await turns()
        passing(600)
        loop.call_later(0.05, gate.set)

    @step(timeout=600, retry=RetryPolicy(attempts=2, initial=0))
    def slow() -> str:
        overlaps.append(not running.acquire(blocking=False))
        calls.append(1)
        try:
            if len(calls) == 1:
                asyncio.run_coroutine_threadsafe(late(), loop)
                gate.wait(10)
            return "done"
        finally:
            running.release()

    async def body(ctx: DurableContext) -> str:
        return await ctx.step(slow)

    program = version(body)
    async with open_engine(program, journal_ack_timeout_ms=3_600_000) as engine:
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
