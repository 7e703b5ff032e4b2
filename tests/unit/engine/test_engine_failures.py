"""The engine itself fails in a run: everybody learns it, and another engine may go on with it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any

import pytest

from durable_core import DurableContext, DurableEngine, ExecutionHandle, OnAmbiguous, step
from durable_core.errors import AmbiguousEffect, ExecutionLocked, IntegrityError
from durable_core.model.execution import Status
from tests.engines import AnyWorkflow, OpenEngine
from tests.holding import failing
from tests.programs import Stage, version
from tests.unit.engine.interrupting import Interrupted

LONGEST_S = 10.0


@asynccontextmanager
async def failed(
    open_engine: OpenEngine,
) -> AsyncIterator[tuple[DurableEngine, AnyWorkflow, ExecutionHandle[Any]]]:
    """A live engine that could not go on with an execution, once."""
    stage = Stage()

    @step(name="work")
    async def work() -> str:
        stage.calls.append("work")
        return "done"

    async def body(ctx: DurableContext) -> str:
        value = await ctx.step(work)
        if not stage.gate.is_set():
            await stage.pause()
        return value

    program = version(body)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        await stage.reached.wait()
    stage.gate.set()
    async with open_engine(program, recover=False) as engine:
        damage = IntegrityError("damaged")
        with failing(engine.parts.backend.journal, "read_execution_range", damage):
            handle = await engine.resume(handle.id)
            with pytest.raises(IntegrityError):
                await handle.result()
        yield engine, program, handle
    assert stage.calls == ["work"]


async def test_another_engine_takes_over_what_failed_in_a_live_one(open_engine: OpenEngine) -> None:
    async with failed(open_engine) as (_, program, handle):
        assert await handle.status() is Status.RUNNING
        async with open_engine(program) as other:
            assert await (await other.get(handle.id)).result(LONGEST_S) == "done"
        assert await handle.result(LONGEST_S) == "done"


async def test_who_asks_for_its_result_elsewhere_takes_it_over(open_engine: OpenEngine) -> None:
    async with (
        failed(open_engine) as (_, program, handle),
        open_engine(program, recover=False) as other,
    ):
        assert await (await other.get(handle.id)).result(LONGEST_S) == "done"


async def test_it_can_be_resumed_where_it_failed(open_engine: OpenEngine) -> None:
    async with failed(open_engine) as (engine, _, handle):
        with pytest.raises(IntegrityError):
            await handle.result()
        assert await (await engine.resume(handle.id)).result(LONGEST_S) == "done"


def frames(trace: TracebackType | None) -> int:
    count = 0
    while trace is not None:
        count, trace = count + 1, trace.tb_next
    return count


async def test_a_failure_that_is_asked_for_often_does_not_grow(open_engine: OpenEngine) -> None:
    async with failed(open_engine) as (_, _, handle):
        seen = []
        for _ in range(20):
            with pytest.raises(IntegrityError) as raised:
                await handle.result()
            seen.append(frames(raised.value.__traceback__))
        assert seen == [seen[0]] * 20


async def test_an_engine_without_the_workflow_settles_and_another_goes_on(
    open_engine: OpenEngine,
) -> None:
    """The one that settled is still open, and cannot run it."""
    case = Interrupted(open_engine, OnAmbiguous.FAIL)
    await case.interrupt()
    with pytest.raises(AmbiguousEffect):
        await case.result()
    async with open_engine() as stranger:
        await stranger.settle(case.id, "0", ran=True, value="by hand")
        handle = await stranger.get(case.id)
        assert await handle.status() is Status.RUNNING
        async with case.opened() as engine:
            assert await (await engine.get(case.id)).result(LONGEST_S) == "by hand"
        assert await handle.result(LONGEST_S) == "by hand"
    assert len(case.keys) == 1


async def test_a_running_execution_is_not_given_up(open_engine: OpenEngine) -> None:
    """Only what failed is: what runs in a live engine stays there."""
    stage = Stage()
    program = version(lambda _ctx: stage.pause())
    async with open_engine(program) as engine, open_engine(program) as other:
        handle = await engine.start(program)
        await stage.reached.wait()
        with pytest.raises(ExecutionLocked):
            await other.resume(handle.id)
        stage.gate.set()
        await handle.result()
