"""Child workflows: started once, waited for, cancelled with their parent."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import ExitStack, suppress
from typing import Any

import pytest

from durable_core import DurableContext, DurableEngine, EffectClass, OnAmbiguous, step, workflow
from durable_core.contracts import CommitBatch
from durable_core.errors import (
    ConfigError,
    ExecutionCancelled,
    ExecutionError,
    StepFailed,
)
from durable_core.model.entries import EntryKind
from durable_core.model.execution import Status
from tests.engines import OpenEngine
from tests.holding import held
from tests.programs import Stage, version
from tests.unit.engine.replaying import live_and_replayed

pytestmark = pytest.mark.dialects


@step(name="note")
async def note(what: str) -> str:
    return what


async def double(ctx: DurableContext, number: int) -> int:
    await ctx.step(note, str(number))
    return 2 * number


DOUBLE = workflow(name="double")(double)


async def children_of(engine: DurableEngine) -> list[Any]:
    return await engine.list(workflow="double", limit=1000)


async def test_a_child_runs_and_its_result_comes_back(open_engine: OpenEngine) -> None:
    async def body(ctx: DurableContext) -> int:
        children = [await ctx.start_child(DOUBLE, number) for number in range(3)]
        return sum(await asyncio.gather(*(child.result() for child in children)))

    program = version(body)
    async with open_engine(program, DOUBLE) as engine:
        assert await engine.run(program) == 6
        rows = await children_of(engine)
        assert [row.status for row in rows] == ["completed"] * 3
        await engine.verify()


async def test_a_replayed_parent_starts_no_second_child(open_engine: OpenEngine) -> None:
    async def body(ctx: DurableContext) -> list[object]:
        child = await ctx.start_child(DOUBLE, 4)
        return [str(child.id), await child.result()]

    def opening(*workflows: Any, **settings: Any) -> Any:
        return open_engine(*workflows, DOUBLE, **settings)

    live, replayed = await live_and_replayed(opening, body)
    assert live == replayed
    async with open_engine(DOUBLE) as engine:
        assert [str(row.execution_id.hex()) for row in await children_of(engine)] == [
            uuid.UUID(live[0]).hex  # type: ignore[index]
        ]


async def test_inv_21_an_engine_that_closes_while_a_child_starts_is_no_failure(
    open_engine: OpenEngine,
) -> None:
    """The child is durable by then, and is not run any more; who goes on finds it."""

    async def body(ctx: DurableContext) -> int:
        try:
            child = await ctx.start_child(DOUBLE, 4)
        except StepFailed:
            return -1
        return await child.result()

    def starts_child(batch: CommitBatch) -> bool:
        return any(entry.workflow == "double" for entry in batch.starts)

    async def closed(engine: DurableEngine, commit: Stage) -> None:
        with suppress(ExecutionError):
            while True:
                engine.require_open()
                await asyncio.sleep(0)
        commit.gate.set()

    program = version(body)
    async with open_engine(program, DOUBLE) as engine:
        stack = ExitStack()
        journal = engine.parts.backend.journal
        commit = stack.enter_context(held(journal, "append", when=starts_child))
        handle = await engine.start(program)
        await commit.reached.wait()
        opening = asyncio.create_task(closed(engine, commit))
    await opening
    stack.close()
    async with open_engine(program, DOUBLE) as engine:
        assert await (await engine.get(handle.id)).result() == 8
        assert len(await children_of(engine)) == 1


async def test_a_start_whose_result_was_lost_finds_the_child(open_engine: OpenEngine) -> None:
    """The parent was killed when the child was durable and the step that started it was not."""
    begun: list[str] = []

    async def body(ctx: DurableContext) -> int:
        begun.append("parent")
        child = await ctx.start_child(DOUBLE, 4)
        return await child.result()

    program = version(body)
    async with open_engine(program, DOUBLE) as engine:
        handle = await engine.start(program)
        assert await handle.result(20) == 8
        journal = engine.parts.backend.journal
        entries = await journal.read_execution(handle.id.bytes)
        intent = entries[1]
        assert intent.entry_kind == EntryKind.EFFECT_INTENT
        assert intent.idem_key is not None
        (child,) = await children_of(engine)
        assert child.execution_key == f"{handle.id}/{intent.idem_key.hex()}"
        again = await engine.start(DOUBLE, 4, key=child.execution_key)
        assert again.id.bytes == child.execution_id


async def test_a_child_that_fails(open_engine: OpenEngine) -> None:
    async def failing(ctx: DurableContext) -> None:
        await ctx.step(note, "first")
        message = "the child's own words"
        raise ValueError(message)

    child_program = version(failing, "failing")

    async def body(ctx: DurableContext) -> list[str]:
        child = await ctx.start_child(child_program)
        try:
            await child.result()
        except StepFailed as failed:
            return [failed.error_type, failed.message]
        return []

    program = version(body)
    async with open_engine(program, child_program) as engine:
        assert await engine.run(program) == ["ValueError", "the child's own words"]


async def test_a_parent_that_is_cancelled_cancels_its_children(open_engine: OpenEngine) -> None:
    stage = Stage()

    async def waiting(ctx: DurableContext) -> None:
        await stage.pause()
        await ctx.step(note, "never")

    child_program = version(waiting, "waiting")

    async def body(ctx: DurableContext) -> None:
        child = await ctx.start_child(child_program)
        await child.result()

    program = version(body)
    async with open_engine(program, child_program) as engine:
        handle = await engine.start(program)
        await stage.reached.wait()
        await handle.cancel()
        with pytest.raises(ExecutionCancelled):
            await handle.result(20)
        rows = await engine.list(limit=10)
        assert {row.status for row in rows} == {"cancelled"}
        assert len(rows) == 2


async def test_an_idle_parent_that_is_cancelled_cancels_its_children(
    open_engine: OpenEngine,
) -> None:
    """Nothing runs: whoever cancels reads in the journal which children there are."""
    stage = Stage()

    async def waiting(_ctx: DurableContext) -> None:
        await stage.pause()

    child_program = version(waiting, "waiting")

    async def body(ctx: DurableContext) -> None:
        await (await ctx.start_child(child_program)).result()

    program = version(body)
    async with open_engine(program, child_program) as engine:
        handle = await engine.start(program)
        await stage.reached.wait()
        await engine.flush()
    async with open_engine(recover=False) as engine:
        await engine.cancel(handle.id)
        rows = await engine.list(limit=10)
        assert [row.status for row in rows] == ["cancelled", "cancelled"]


async def test_a_child_that_is_cancelled_alone(open_engine: OpenEngine) -> None:
    stage = Stage()

    async def waiting(_ctx: DurableContext) -> None:
        await stage.pause()

    child_program = version(waiting, "waiting")

    async def body(ctx: DurableContext) -> str:
        child = await ctx.start_child(child_program)
        await child.cancel()
        await child.cancel()
        try:
            await child.result()
        except StepFailed as failed:
            return failed.error_type
        return "none"

    program = version(body)
    async with open_engine(program, child_program) as engine:
        assert await engine.run(program) == "ExecutionCancelled"


async def test_a_blocked_child_is_waited_for(open_engine: OpenEngine) -> None:
    stage = Stage()

    @step(name="pay", effect=EffectClass.EXACTLY_ONCE_GUARDED, on_ambiguous=OnAmbiguous.FAIL)
    async def pay() -> str:
        await stage.pause()
        return "never"

    async def paying(ctx: DurableContext) -> str:
        return await ctx.step(pay)

    child_program = version(paying, "paying")

    async def body(ctx: DurableContext) -> str:
        result: str = await (await ctx.start_child(child_program)).result()
        return result

    program = version(body)
    async with open_engine(program, child_program, close_timeout_ms=50) as engine:
        handle = await engine.start(program)
        await stage.reached.wait()
        await engine.flush()
    async with open_engine(program, child_program) as engine:
        (child,) = await engine.list(workflow="paying")
        child_id = uuid.UUID(bytes=child.execution_id)
        with pytest.raises(Exception, match="settle"):
            await (await engine.get(child_id)).result(20)
        assert await (await engine.get(handle.id)).status() is Status.RUNNING
        await engine.settle(child_id, "0", ran=True, value="paid")
        assert await (await engine.get(handle.id)).result(20) == "paid"


async def test_a_child_of_an_unregistered_workflow(open_engine: OpenEngine) -> None:
    async def body(ctx: DurableContext) -> str:
        with pytest.raises(ConfigError, match="'double' is not registered"):
            await ctx.start_child(DOUBLE, 1)
        return await ctx.step(note, "goes on")

    program = version(body)
    async with open_engine(program) as engine:
        assert await engine.run(program) == "goes on"
        assert await children_of(engine) == []


async def test_a_key_of_its_own(open_engine: OpenEngine) -> None:
    async def body(ctx: DurableContext) -> list[object]:
        first = await ctx.start_child(DOUBLE, 1, key="mine")
        again = await ctx.start_child(DOUBLE, 1, key="mine")
        try:
            await ctx.start_child(DOUBLE, 2, key="mine")
        except StepFailed as failed:
            return [first.id == again.id, await again.result(), failed.error_type]
        return []

    program = version(body)
    async with open_engine(program, DOUBLE) as engine:
        assert await engine.run(program) == [True, 2, "KeyConflict"]
        assert len(await children_of(engine)) == 1


async def test_a_child_that_any_worker_may_run(open_engine: OpenEngine) -> None:
    async def body(ctx: DurableContext) -> int:
        return await (await ctx.start_child(DOUBLE, 21, run="anywhere")).result()

    program = version(body)
    async with open_engine(program) as parent, open_engine(DOUBLE, claim=True):
        assert await (await parent.start(program)).result(20) == 42


async def test_wrong_arguments_are_refused_at_once(open_engine: OpenEngine) -> None:
    async def body(ctx: DurableContext) -> str:
        with pytest.raises(TypeError):
            await ctx.start_child(DOUBLE)
        return await ctx.step(note, "goes on")

    program = version(body)
    async with open_engine(program, DOUBLE) as engine:
        assert await engine.run(program) == "goes on"
