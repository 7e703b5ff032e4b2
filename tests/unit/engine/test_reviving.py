"""`resume(…, run="anywhere")`: by who has no code, for whoever has it; a live owner is asked."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import define, field

from durable_core import (
    DurableContext,
    DurableEngine,
    EffectClass,
    ExecutionHandle,
    OnAmbiguous,
    reconcile,
    step,
)
from durable_core.engine.requests import file_resume
from durable_core.errors import (
    AmbiguousEffect,
    ConfigError,
    ExecutionCancelled,
    ExecutionError,
    ExecutionFailed,
    ExecutionLocked,
    ExecutionTerminal,
    ReplayDivergence,
)
from durable_core.model.execution import ANYONE, NOBODY, ExecutionRow, Status
from tests.engines import AnyWorkflow, OpenEngine
from tests.programs import Stage, version

pytestmark = pytest.mark.dialects
LONGEST_S = 30


@define
class Shop:
    """A workflow of two steps of which the second fails until it is repaired."""

    calls: list[str] = field(factory=list)
    broken: bool = True
    program: AnyWorkflow = field(init=False)

    @program.default
    def _program(self) -> AnyWorkflow:
        @step(name="first")
        async def first() -> str:
            self.calls.append("first")
            return "first"

        @step(name="second")
        async def second() -> str:
            self.calls.append("second")
            if self.broken:
                message = "no"
                raise ValueError(message)
            return "second"

        async def body(ctx: DurableContext) -> list[str]:
            return [await ctx.step(first), await ctx.step(second)]

        return version(body)


async def row_of(engine: DurableEngine, handle: ExecutionHandle[Any]) -> ExecutionRow:
    row = await engine.parts.backend.load(handle.id.bytes)
    assert row is not None
    return row


async def failed(engine: DurableEngine, program: AnyWorkflow) -> ExecutionHandle[Any]:
    handle = await engine.start(program, key="k")
    with pytest.raises(ExecutionFailed):
        await handle.result(LONGEST_S)
    return handle


async def test_a_failed_one_runs_again_where_its_workflow_is(open_engine: OpenEngine) -> None:
    shop = Shop()
    async with open_engine(shop.program) as engine:
        handle = await failed(engine, shop.program)
    shop.broken = False
    async with open_engine() as tool:
        handle = await tool.resume(handle.id, run="anywhere")
        row = await row_of(tool, handle)
        assert (row.status, row.generation, row.owner_id) == ("running", 1, NOBODY)
        await tool.resume(handle.id, run="anywhere")  # it waits for an engine already
        assert await row_of(tool, handle) == row
        async with open_engine(shop.program) as engine:
            found = await engine.get(handle.id)
            assert await found.result(LONGEST_S) == ["first", "second"]
        await tool.verify()
    assert shop.calls == ["first", "second", "second"]


async def test_a_live_owner_resumes_what_has_failed_there(open_engine: OpenEngine) -> None:
    shop = Shop()
    async with open_engine(shop.program) as owner, open_engine() as tool:
        handle = await failed(owner, shop.program)
        shop.broken = False
        before = await row_of(tool, handle)
        await tool.resume(handle.id, run="anywhere")
        while await handle.status() is not Status.COMPLETED:
            pass
        after = await row_of(tool, handle)
        assert (after.generation, after.owner_id) == (1, before.owner_id)
        assert await handle.result() == ["first", "second"]
        await tool.verify()
    assert shop.calls == ["first", "second", "second"]


async def test_a_request_of_a_dead_owner_is_followed_without_the_workflow(
    open_engine: OpenEngine,
) -> None:
    shop = Shop()
    async with open_engine(shop.program) as engine:
        handle = await failed(engine, shop.program)
    shop.broken = False
    async with open_engine() as tool:
        handle = await tool.get(handle.id)
        assert await file_resume(tool.parts, await row_of(tool, handle))
        assert not await file_resume(tool.parts, await row_of(tool, handle))
        while (await row_of(tool, handle)).owner_id != NOBODY:
            pass
        while await tool.parts.backend.read_inbox():
            pass
        async with open_engine(shop.program) as engine:
            found = await engine.get(handle.id)
            assert await found.result(LONGEST_S) == ["first", "second"]


async def test_an_earlier_request_is_answered_by_the_same_deed(open_engine: OpenEngine) -> None:
    shop = Shop()
    async with open_engine(shop.program) as engine:
        handle = await failed(engine, shop.program)
    async with open_engine(recover=False) as tool:
        handle = await tool.get(handle.id)
        await file_resume(tool.parts, await row_of(tool, handle))
        await tool.resume(handle.id, run="anywhere")
        assert await tool.parts.backend.read_inbox() == []


async def test_a_diverged_one_is_replayed_once_more(open_engine: OpenEngine) -> None:
    stage = Stage()

    @step(name="first")
    async def first() -> str:
        stage.calls.append("first")
        return "first"

    @step(name="other")
    async def other() -> str:
        return "other"

    async def original(ctx: DurableContext) -> list[str]:
        value = await ctx.step(first)
        await stage.pause()
        return [value, "end"]

    async def changed(ctx: DurableContext) -> list[str]:
        return [await ctx.step(other)]

    program = version(original)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        await stage.reached.wait()
        await engine.flush()
    stage.gate.set()
    async with open_engine(version(changed)) as engine:
        with pytest.raises(ReplayDivergence):
            await (await engine.get(handle.id)).result(LONGEST_S)
    async with open_engine() as tool:
        handle = await tool.resume(handle.id, run="anywhere")
        row = await row_of(tool, handle)
        assert (row.status, row.generation, row.owner_id) == ("running", 0, NOBODY)
        async with open_engine(program) as engine:
            found = await engine.get(handle.id)
            assert await found.result(LONGEST_S) == ["first", "end"]
        await tool.verify()
    assert stage.calls == ["first"]


def paying(stage: Stage, policy: Any) -> AnyWorkflow:
    """Its guarded step stands still in its first run."""

    @step(name="pay", effect=EffectClass.EXACTLY_ONCE_GUARDED, on_ambiguous=policy)
    async def pay() -> str:
        stage.calls.append("pay")
        await stage.pause()
        return "paid"

    async def body(ctx: DurableContext) -> str:
        return await ctx.step(pay)

    return version(body)


async def blocked(open_engine: OpenEngine, stage: Stage, policy: Any) -> ExecutionHandle[Any]:
    program = paying(stage, policy)
    async with open_engine(program, close_timeout_ms=1) as engine:
        handle = await engine.start(program)
        await stage.reached.wait()
    async with open_engine(program) as engine:
        with pytest.raises(AmbiguousEffect):
            await (await engine.get(handle.id)).result(LONGEST_S)
    return handle


async def test_one_that_waits_for_a_word_is_refused(open_engine: OpenEngine) -> None:
    stage = Stage()
    handle = await blocked(open_engine, stage, OnAmbiguous.FAIL)
    async with open_engine() as tool:
        before = await row_of(tool, handle)
        with pytest.raises(ExecutionError, match="word on guarded step 0 'pay'; settle it"):
            await tool.resume(handle.id, run="anywhere")
        assert await row_of(tool, handle) == before


async def test_a_reconcile_function_that_could_not_tell_is_asked_again(
    open_engine: OpenEngine,
) -> None:
    stage = Stage()

    async def ask(_key: bytes) -> str:
        stage.calls.append("ask")
        if stage.calls.count("ask") == 1:
            message = "the provider is down"
            raise OSError(message)
        return "paid before"

    handle = await blocked(open_engine, stage, reconcile(ask))
    async with open_engine() as tool:
        await tool.resume(handle.id, run="anywhere")
        async with open_engine(paying(stage, reconcile(ask))) as engine:
            found = await engine.get(handle.id)
            assert await found.result(LONGEST_S) == "paid before"
    assert stage.calls == ["pay", "ask", "ask"]


async def test_a_running_one_is_taken_from_a_dead_owner_alone(open_engine: OpenEngine) -> None:
    stage = Stage()

    async def body(_: DurableContext) -> str:
        await stage.pause()
        return "done"

    program = version(body)
    async with open_engine(recover=False) as tool:
        async with open_engine(program) as owner:
            handle = await owner.start(program)
            await stage.reached.wait()
            before = await row_of(tool, handle)
            with pytest.raises(ExecutionLocked, match="runs in a live engine"):
                await tool.resume(handle.id, run="anywhere")
            await owner.resume(handle.id, run="anywhere")  # it runs there
            assert await row_of(tool, handle) == before
        await tool.resume(handle.id, run="anywhere")
        assert (await row_of(tool, handle)).owner_id == NOBODY
        stage.gate.set()
        async with open_engine(program) as engine:
            assert await (await engine.get(handle.id)).result(LONGEST_S) == "done"


async def test_what_was_started_for_anyone_stays_so(open_engine: OpenEngine) -> None:
    shop = Shop()
    async with open_engine(shop.program) as engine:
        handle = await engine.start(shop.program, run="anywhere")
        before = await row_of(engine, handle)
        assert before.owner_id == ANYONE
        await engine.resume(handle.id, run="anywhere")
        assert await row_of(engine, handle) == before


async def test_an_engine_that_has_the_workflow_may_go_on_with_it_itself(
    open_engine: OpenEngine,
) -> None:
    shop = Shop()
    async with open_engine(shop.program) as engine:
        handle = await failed(engine, shop.program)
        shop.broken = False
        await engine.resume(handle.id, run="anywhere")
        assert await handle.result(LONGEST_S) == ["first", "second"]


async def test_what_has_ended_for_good_is_refused(open_engine: OpenEngine) -> None:
    shop = Shop(broken=False)
    async with open_engine(shop.program) as engine:
        handle = await engine.start(shop.program)
        await handle.result()
        for run in ("here", "anywhere"):
            with pytest.raises(ExecutionTerminal, match="completed already"):
                await engine.resume(handle.id, run=run)
        with pytest.raises(ConfigError, match='"here" or "anywhere"'):
            await engine.resume(handle.id, run="elsewhere")  # type: ignore[arg-type]


async def test_what_is_cancelled_meanwhile_stays_cancelled(open_engine: OpenEngine) -> None:
    """A request that comes too late is refused, and does not stay."""
    shop = Shop()
    async with open_engine(shop.program) as engine:
        handle = await failed(engine, shop.program)
    async with open_engine(recover=False) as tool:
        handle = await tool.get(handle.id)
        before = await row_of(tool, handle)
        await tool.resume(handle.id, run="anywhere")
        await tool.cancel(handle.id)
        await file_resume(tool.parts, before)
        async with open_engine(shop.program) as engine:
            with pytest.raises(ExecutionCancelled):
                await (await engine.get(handle.id)).result()
            while await tool.parts.backend.read_inbox():
                pass
            assert await handle.status() is Status.CANCELLED
