"""Where `ctx.continue_as_new` is refused, and with which arguments: nothing is recorded then."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from durable_core import DurableContext, DurableEngine, workflow
from durable_core.errors import DecodeError, ExecutionError, PayloadTooLarge, StepFailed
from durable_core.model.execution import ExecutionRow
from tests.engines import OpenEngine

pytestmark = pytest.mark.dialects


async def links_of(engine: DurableEngine, name: str) -> list[ExecutionRow]:
    return await engine.list(workflow=name, limit=100)


@workflow(name="refused")
async def refused(ctx: DurableContext, where: str) -> str:
    async def ask(*_: object) -> None:
        ctx.continue_as_new(where)

    async def branch(_: DurableContext) -> None:
        await ask()

    async def own(own: DurableContext) -> None:
        own.continue_as_new(where)

    try:
        if where == "step":
            await ctx.step(ask)
        elif where == "task":
            await asyncio.create_task(ask())
        else:
            async with ctx.parallel() as group:
                group.start(own if where == "own context" else branch)
    except StepFailed as failed:
        return failed.error_type
    except ExecutionError as error:
        return str(error)
    except ExceptionGroup as group_:
        return str(group_.exceptions[0])
    return "nothing"


@pytest.mark.parametrize("where", ["step", "task", "branch", "own context"])
async def test_it_is_refused_outside_of_the_workflows_own_code(
    open_engine: OpenEngine, where: str
) -> None:
    async with open_engine(refused) as engine:
        said = await engine.run(refused, where)
        assert said == "ExecutionError" if where == "step" else "own code" in said
        assert len(await links_of(engine, "refused")) == 1


@pytest.mark.parametrize(
    ("args", "error"),
    [
        ((1, 2, 3), TypeError),
        ((object(),), DecodeError),
        (("no number",), DecodeError),
        ((0, "x" * 5000), PayloadTooLarge),
    ],
)
async def test_arguments_that_do_not_fit_are_the_callers_mistake(
    open_engine: OpenEngine, args: tuple[Any, ...], error: type[Exception]
) -> None:
    @workflow(name="mistaken")
    async def mistaken(ctx: DurableContext, number: int, text: str = "") -> str:
        try:
            assert number == len(text) == 0
            ctx.continue_as_new(*args)
        except error as refused_:
            return type(refused_).__name__

    async with open_engine(mistaken, max_payload_bytes=4096) as engine:
        assert await engine.run(mistaken, 0) == error.__name__
        (row,) = await links_of(engine, "mistaken")
        assert row.entry_count == 2
