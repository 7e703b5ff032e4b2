"""Waiting, resuming and settling at once: an execution runs once at a time in an engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from attrs import frozen

from durable_core import DurableContext, DurableEngine, ExecutionHandle, OnAmbiguous, step
from durable_core.errors import AmbiguousEffect, ExecutionError, ExecutionFailed
from tests.engines import OpenEngine
from tests.holding import held
from tests.programs import Stage, version
from tests.unit.engine.interrupting import Interrupted


@frozen
class Stopped:
    """An execution that has stopped in an open engine, and the call that goes on with it."""

    engine: DurableEngine
    handle: ExecutionHandle[Any]
    value: object
    stage: Stage
    epoch: int

    async def go_on(self) -> None:
        if self.stage.calls:
            await self.engine.resume(self.handle.id)
        else:
            await self.engine.settle(self.handle.id, "0", ran=True, value=self.value)


@asynccontextmanager
async def failed(open_engine: OpenEngine) -> AsyncIterator[Stopped]:
    stage = Stage()

    @step(name="work")
    async def work() -> str:
        stage.calls.append("work")
        if len(stage.calls) == 1:
            raise OSError
        await stage.gate.wait()
        return "in the end"

    async def body(ctx: DurableContext) -> str:
        return await ctx.step(work)

    program = version(body)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        with pytest.raises(ExecutionFailed):
            await handle.result()
        yield Stopped(engine, handle, "in the end", stage, 2)
    assert stage.calls == ["work", "work"]


@asynccontextmanager
async def blocked(open_engine: OpenEngine) -> AsyncIterator[Stopped]:
    case = Interrupted(open_engine, OnAmbiguous.FAIL)
    await case.interrupt()
    async with case.opened() as engine:
        handle = await engine.get(case.id)
        with pytest.raises(AmbiguousEffect):
            await handle.result()
        yield Stopped(engine, handle, "by hand", Stage(), 3)
    assert len(case.keys) == 1


@pytest.mark.parametrize("stopped", [failed, blocked])
async def test_who_waits_does_not_take_over_what_another_task_goes_on_with(
    stopped: Any, open_engine: OpenEngine
) -> None:
    """Between the claim and the launch the row says "running", and nothing runs yet."""
    async with stopped(open_engine) as case:
        with held(case.engine.parts.backend, "heads") as launch:
            going_on = asyncio.create_task(case.go_on())
            await launch.reached.wait()
            waiting = [asyncio.create_task(case.handle.result()) for _ in range(5)]
            for _ in range(5):
                await case.engine.list()  # a turn for everybody, and a hop to a thread and back
            launch.gate.set()
            await going_on
        case.stage.gate.set()
        assert await asyncio.gather(*waiting) == [case.value] * 5
        assert (await case.engine.list())[0].owner_epoch == case.epoch
        await case.engine.verify()


async def test_of_two_settlements_at_once_one_counts(open_engine: OpenEngine) -> None:
    async with blocked(open_engine) as case:
        settle = case.engine.settle
        answers = await asyncio.gather(
            *(settle(case.handle.id, "0", ran=True, value=f"word {n}") for n in range(5)),
            return_exceptions=True,
        )
        refused = [answer for answer in answers if answer is not None]
        assert [type(answer) for answer in refused] == [ExecutionError] * 4
        assert await case.handle.result() == f"word {answers.index(None)}"
        assert (await case.engine.list())[0].owner_epoch == case.epoch
        await case.engine.verify()


async def test_of_two_resumptions_at_once_one_counts(open_engine: OpenEngine) -> None:
    async with failed(open_engine) as case:
        resume = case.engine.resume
        handles = await asyncio.gather(*(resume(case.handle.id) for _ in range(5)))
        case.stage.gate.set()
        results = await asyncio.gather(*(handle.result() for handle in handles))
        assert results == [case.value] * 5
        assert (await case.engine.list())[0].owner_epoch == case.epoch
