"""Requests while owners come and go: each is answered once, by who has the execution then."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from durable_core import DurableContext, DurableEngine, EffectClass, OnAmbiguous, step
from durable_core.contracts.exchange import InboxRow
from durable_core.engine.outcome import DID_NOT_RUN
from durable_core.engine.requests import file_cancel, file_resume, file_settle
from durable_core.errors import (
    AmbiguousEffect,
    ExecutionCancelled,
    ExecutionFailed,
    JournalUnavailable,
)
from durable_core.ids import ExecutionId
from durable_core.journal.settings import Health
from durable_core.model.entries import EntryKind
from durable_core.model.execution import ExecutionRow, Status
from tests.engines import AnyWorkflow, OpenEngine
from tests.holding import failing, held
from tests.programs import Stage, version

pytestmark = pytest.mark.dialects
LONGEST_S = 20


async def row_of(engine: DurableEngine, execution_id: ExecutionId) -> ExecutionRow:
    row = await engine.parts.backend.load(execution_id.bytes)
    assert row is not None
    return row


async def requests(engine: DurableEngine) -> list[InboxRow]:
    return await engine.parts.backend.read_inbox()


async def answers(engine: DurableEngine) -> None:
    """One round of an engine whose watch was closed, for itself and for the dead."""
    inbox = engine._watch._inbox
    await inbox.answer()
    await inbox.answer_for_the_dead()
    await asyncio.gather(*inbox._answering.values())


def waiting(stage: Stage) -> AnyWorkflow:
    async def body(_: DurableContext) -> str:
        await stage.pause()
        return "late"

    return version(body)


def failing_one() -> AnyWorkflow:
    async def body(_: DurableContext) -> str:
        message = "no"
        raise ValueError(message)

    return version(body)


def paying(stage: Stage) -> AnyWorkflow:
    """Its guarded step stands still whenever it is called, and is for an operator to settle."""

    @step(name="pay", effect=EffectClass.EXACTLY_ONCE_GUARDED, on_ambiguous=OnAmbiguous.FAIL)
    async def pay() -> None:
        stage.calls.append("pay")
        await stage.pause()

    async def body(ctx: DurableContext) -> None:
        await ctx.step(pay)

    return version(body)


async def stopped_short(open_engine: OpenEngine, stage: Stage) -> ExecutionId:
    """One whose owner died while it ran."""
    program = waiting(stage)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        await stage.reached.wait()
        await engine.flush()
    stage.reached.clear()
    return handle.id


async def failed(open_engine: OpenEngine) -> ExecutionId:
    program = failing_one()
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        with pytest.raises(ExecutionFailed):
            await handle.result(LONGEST_S)
    return handle.id


async def blocks(open_engine: OpenEngine, program: AnyWorkflow, execution_id: ExecutionId) -> None:
    """An engine finds its guarded step open, and dies."""
    async with open_engine(program) as engine:
        with pytest.raises(AmbiguousEffect):
            await (await engine.get(execution_id)).result(LONGEST_S)


async def blocked(open_engine: OpenEngine, stage: Stage) -> tuple[AnyWorkflow, ExecutionId]:
    program = paying(stage)
    async with open_engine(program, close_timeout_ms=1) as engine:
        handle = await engine.start(program)
        await stage.reached.wait()
    stage.reached.clear()
    await blocks(open_engine, program, handle.id)
    return program, handle.id


async def test_a_cancel_stays_for_who_takes_over_before_it_is_answered(
    open_engine: OpenEngine,
) -> None:
    stage = Stage()
    execution_id = await stopped_short(open_engine, stage)
    async with open_engine(recover=False) as outsider:
        await outsider._watch.close()
        await file_cancel(outsider.parts, await row_of(outsider, execution_id))
        (filed,) = await requests(outsider)
        with held(outsider.parts.backend, "load") as looks:
            answering = asyncio.create_task(answers(outsider))
            await looks.reached.wait()  # it has seen that the owner is dead
            async with open_engine(waiting(stage), recover=False) as engine:
                await engine._watch.close()
                handle = await engine.resume(execution_id)
                await stage.reached.wait()
                looks.gate.set()
                await answering
                assert await requests(engine) == [filed]
                await answers(outsider)  # again: it is not for the outsider
                assert await requests(engine) == [filed]
                await answers(engine)
                with pytest.raises(ExecutionCancelled):
                    await handle.result(LONGEST_S)
                assert await requests(engine) == []
                await engine.verify()


async def test_a_cancel_stays_for_who_claims_while_its_owner_answers_it(
    open_engine: OpenEngine,
) -> None:
    here, there = Stage(), Stage()
    program = waiting(here)
    async with (
        open_engine(program) as owner,
        open_engine(waiting(there), recover=False) as engine,
    ):
        await owner._watch.close()
        await engine._watch.close()
        execution_id = (await owner.start(program)).id
        await here.reached.wait()
        await owner.flush()
        before = await row_of(engine, execution_id)
        await file_cancel(engine.parts, before)
        (filed,) = await requests(engine)
        with held(owner.parts.backend.journal, "append") as commit:
            answering = asyncio.create_task(answers(owner))
            await commit.reached.wait()
            claimed = await engine.parts.backend.claim(before, engine.parts.journal.owner_id, 0)
            assert claimed is not None
            commit.gate.set()
            await answering
        assert await requests(engine) == [filed]
        handle = await engine.resume(execution_id)
        await there.reached.wait()
        await answers(engine)
        with pytest.raises(ExecutionCancelled):
            await handle.result(LONGEST_S)
        assert await requests(engine) == []


@pytest.mark.parametrize("asked_again", [True, False])
async def test_a_resume_that_was_answered_elsewhere_is_not_followed_again(
    open_engine: OpenEngine, *, asked_again: bool
) -> None:
    """It has failed once more meanwhile; whoever asks for it then is answered by its owner."""
    execution_id = await failed(open_engine)
    async with open_engine(recover=False) as outsider:
        await outsider._watch.close()
        await file_resume(outsider.parts, await row_of(outsider, execution_id))
        with held(outsider.parts.backend, "load") as looks:
            answering = asyncio.create_task(answers(outsider))
            await looks.reached.wait()
            async with (
                open_engine(failing_one(), recover=False) as engine,
                open_engine(recover=False) as tool,
            ):
                await engine._watch.close()
                await answers(engine)
                with pytest.raises(ExecutionFailed):
                    await (await engine.get(execution_id)).result(LONGEST_S)
                assert await requests(tool) == []
                if asked_again:
                    await tool.resume(execution_id, run="anywhere")
                filed = await requests(tool)
                assert len(filed) == asked_again
                looks.gate.set()
                await answering
                assert await requests(tool) == filed
                await answers(engine)
                with pytest.raises(ExecutionFailed):
                    await (await engine.get(execution_id)).result(LONGEST_S)
                assert (await row_of(tool, execution_id)).generation == 1 + asked_again
                assert await requests(tool) == []


@pytest.mark.parametrize("registered", [True, False])
async def test_a_resume_is_gone_before_what_it_resumes_runs(
    open_engine: OpenEngine, *, registered: bool
) -> None:
    """Where that stands still again at once, whoever asks is not taken for the one before."""
    execution_id = await failed(open_engine)
    programs = [failing_one()] if registered else []
    async with open_engine(*programs, recover=False) as engine:
        await engine._watch.close()
        await file_resume(engine.parts, await row_of(engine, execution_id))
        with held(engine.parts.backend, "remove_inbox") as removing:
            answering = asyncio.create_task(answers(engine))
            await removing.reached.wait()
            row = await row_of(engine, execution_id)
            assert (row.status, row.generation) == ("running", 1)
            assert row.owner_id == engine.parts.journal.owner_id
            assert engine._roster.running(execution_id) is None
            removing.gate.set()
            await answering
            assert removing.calls == ["remove_inbox"]
        assert await requests(engine) == []


async def test_a_word_on_a_step_is_gone_before_the_step_may_run_again(
    open_engine: OpenEngine,
) -> None:
    stage = Stage()
    program, execution_id = await blocked(open_engine, stage)
    async with open_engine(program, recover=False, close_timeout_ms=1) as engine:
        await engine._watch.close()
        row = await row_of(engine, execution_id)
        await file_settle(engine.parts, row, "0", DID_NOT_RUN)
        with held(engine.parts.backend, "remove_inbox") as removing:
            answering = asyncio.create_task(answers(engine))
            await removing.reached.wait()
            assert await settlements(engine, execution_id) == 1
            assert engine._roster.running(execution_id) is None
            removing.gate.set()
            await answering
            assert removing.calls == ["remove_inbox"]
        await stage.reached.wait()
    assert stage.calls == ["pay", "pay"]


async def test_a_word_that_waits_is_not_journaled_behind_another_one(
    open_engine: OpenEngine,
) -> None:
    """There is no owner, and an operator that settles it here: the step runs again."""
    stage = Stage()
    program, execution_id = await blocked(open_engine, stage)
    async with open_engine(program, recover=False, close_timeout_ms=1) as engine:
        await engine._watch.close()
        row = await row_of(engine, execution_id)
        await file_settle(engine.parts, row, "0", DID_NOT_RUN)
        await engine.settle(execution_id, "0", ran=False)
        assert await requests(engine) == []
        await stage.reached.wait()
    assert stage.calls == ["pay", "pay"]


async def test_a_word_on_a_step_is_journaled_once_although_it_blocks_again(
    open_engine: OpenEngine,
) -> None:
    """Else a step that has run would be taken for one that has not."""
    stage = Stage()
    program, execution_id = await blocked(open_engine, stage)
    async with open_engine(program, recover=False) as outsider:
        await outsider._watch.close()
        row = await row_of(outsider, execution_id)
        await file_settle(outsider.parts, row, "0", DID_NOT_RUN)
        with held(outsider.parts.backend, "load") as looks:
            answering = asyncio.create_task(answers(outsider))
            await looks.reached.wait()
            async with open_engine(program, recover=False, close_timeout_ms=1) as engine:
                await engine._watch.close()
                await answers(engine)
                await stage.reached.wait()  # it pays once more, and dies over it
            await blocks(open_engine, program, execution_id)
            looks.gate.set()
            await answering
        assert await settlements(outsider, execution_id) == 1
        handle = await outsider.get(execution_id)
        assert await handle.status() is Status.BLOCKED
    assert stage.calls == ["pay", "pay"]


async def settlements(engine: DurableEngine, execution_id: ExecutionId) -> int:
    rows = await engine.parts.backend.journal.read_execution(execution_id.bytes)
    return [row.entry_kind for row in rows].count(EntryKind.INTENT_SETTLED)


async def nothing(_: DurableContext) -> None:
    """A workflow without a step."""


async def test_a_signal_that_could_not_be_journaled_is_journaled_later(
    open_engine: OpenEngine,
) -> None:
    stage = Stage()

    async def body(ctx: DurableContext) -> list[Any]:
        stage.reached.set()
        return [await ctx.receive("number", int) for _ in range(2)]

    receiving, other = version(body), version(nothing, "other")
    async with open_engine(receiving, other) as engine:
        await engine._watch.close()
        handle = await engine.start(receiving)
        await stage.reached.wait()
        await engine.flush()
        broken = [JournalUnavailable("the disk is full") for _ in range(1000)]
        backend = engine.parts.backend
        with failing(backend, "probe", *broken), failing(backend.journal, "append", *broken):
            with pytest.raises(JournalUnavailable):
                await engine.run(other)
            with pytest.raises(JournalUnavailable):
                await engine.flush()  # so that it is told what was lost
            for number in range(2):
                await engine.signal(handle.id, "number", number)
            filed = await requests(engine)
            await answers(engine)
            assert await requests(engine) == filed
        while engine.health().state is not Health.HEALTHY:
            await backend.read_inbox()
        await answers(engine)
        assert await handle.result(LONGEST_S) == [0, 1]
        await engine.verify()
