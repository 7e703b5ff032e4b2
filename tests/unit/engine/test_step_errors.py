"""What steps and workflows may raise: every error is a failure, live and replayed alike."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from durable_core import DurableContext, EffectClass, OnAmbiguous, step
from durable_core.errors import ExecutionFailed, StepFailed
from tests.engines import OpenEngine
from tests.programs import Body, version
from tests.unit.engine.replaying import live_and_replayed

LONGEST_S = 10.0


class Refused(Exception):
    """An error of the user's own that a weak reference can point to."""


class Stop(BaseException):
    """An error of the user's own that no `except Exception` catches."""


def kinds(error: type[BaseException], calls: list[str]) -> dict[str, Callable[[], Any]]:
    """Functions of every kind that raise `error`."""

    @step(name="async")
    async def in_task() -> None:
        calls.append("async")
        raise error

    @step(name="plain")
    def in_thread() -> None:
        calls.append("plain")
        raise error

    guarded: dict[str, Any] = {
        "effect": EffectClass.EXACTLY_ONCE_GUARDED,
        "on_ambiguous": OnAmbiguous.FAIL,
    }

    @step(name="guarded", **guarded)
    async def guarded_in_task() -> None:
        calls.append("guarded")
        raise error

    @step(name="guarded plain", **guarded)
    def guarded_in_thread() -> None:
        calls.append("guarded plain")
        raise error

    return {
        "async": in_task,
        "plain": in_thread,
        "guarded": guarded_in_task,
        "guarded plain": guarded_in_thread,
    }


KINDS = ["async", "plain", "guarded", "guarded plain"]


def failing(call: Callable[[], Any]) -> Body:
    """A body that returns the type of the error with which its step failed."""

    async def body(ctx: DurableContext) -> str:
        try:
            await ctx.step(call)
        except StepFailed as failed:
            return f"{failed.step}: {failed.error_type}"
        return "no error"

    return body


@pytest.mark.parametrize("kind", KINDS)
async def test_an_error_of_any_class_is_a_failure(kind: str, open_engine: OpenEngine) -> None:
    calls: list[str] = []
    body = failing(kinds(Stop, calls)[kind])
    assert await live_and_replayed(open_engine, body) == [f"{kind}: Stop"] * 2
    assert calls == [kind]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_cancellation_that_the_function_raises_itself_is_a_failure(
    kind: str, open_engine: OpenEngine
) -> None:
    """Nobody cancelled the step, and so nobody will on replay."""
    calls: list[str] = []
    body = failing(kinds(asyncio.CancelledError, calls)[kind])
    assert await live_and_replayed(open_engine, body) == [f"{kind}: CancelledError"] * 2
    assert calls == [kind]


@pytest.mark.parametrize("kind", ["plain", "guarded plain"])
async def test_stop_iteration_out_of_a_thread_is_a_runtime_error(
    kind: str, open_engine: OpenEngine
) -> None:
    """As out of a coroutine; no future can hold a `StopIteration`, and nobody would be woken."""
    program = version(failing(kinds(StopIteration, [])[kind]))
    async with open_engine(program, close_timeout_ms=200) as engine:
        handle = await engine.start(program)
        assert await handle.result(LONGEST_S) == f"{kind}: RuntimeError"


async def test_an_error_of_any_class_fails_the_workflow(open_engine: OpenEngine) -> None:
    async def body(_ctx: DurableContext) -> None:
        message = "enough"
        raise Stop(message)

    program = version(body)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        for _ in range(2):
            with pytest.raises(ExecutionFailed) as failed:
                await handle.result(LONGEST_S)
            assert (failed.value.error_type, failed.value.message) == ("Stop", "enough")


@pytest.mark.parametrize("kind", [*KINDS, "workflow"])
def test_system_exit_ends_the_loop_and_fails_nothing(kind: str, open_engine: OpenEngine) -> None:
    """It is the process's: the execution goes on in the next one."""
    calls: list[str] = []

    async def body(ctx: DurableContext) -> str:
        if calls:
            return "in the end"
        if kind == "workflow":
            calls.append("workflow")
            raise SystemExit(3)
        await ctx.step(kinds(SystemExit, calls)[kind])
        return "not here"

    program = version(body)

    async def first() -> None:
        async with open_engine(program) as engine:
            await (await engine.start(program, key="k")).result(LONGEST_S)

    with pytest.raises(SystemExit):
        asyncio.run(first())
    gc.collect()  # or its task complains, as any that nobody asks, in the middle of another test
    assert calls == [kind]

    async def second() -> str:
        async with open_engine() as engine:
            (row,) = await engine.list()
            return row.status

    assert asyncio.run(second()) == "running"


async def test_an_error_is_held_by_nobody_when_the_workflow_has_met_it(
    open_engine: OpenEngine,
) -> None:
    errors: list[weakref.ref[BaseException]] = []
    held: list[bool] = []

    async def fails() -> None:
        error = Refused("no")
        errors.append(weakref.ref(error))
        try:
            raise error
        finally:
            del error  # which its own frame would hold

    async def body(ctx: DurableContext) -> None:
        with suppress(StepFailed):
            await ctx.step(fails)
        held.append(errors[0]() is not None)

    program = version(body)
    async with open_engine(program) as engine:
        gc.disable()
        try:
            await engine.run(program)
        finally:
            gc.enable()
    assert held == [False]
