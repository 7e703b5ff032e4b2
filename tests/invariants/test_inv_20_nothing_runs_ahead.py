"""INV-20: no guarded effect runs ahead of the journal, and a row of them costs one commit each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from durable_core import (
    DID_NOT_HAPPEN,
    DurableContext,
    DurableEngine,
    EffectClass,
    OnAmbiguous,
    reconcile,
    step,
)
from durable_core.contracts import BatchOutcome, CommitBatch
from durable_core.model.entries import EntryKind
from tests.engines import OpenEngine
from tests.journals import path_of, query
from tests.programs import Stage, version

GUARDED = EffectClass.EXACTLY_ONCE_GUARDED


def watch(
    engine: DurableEngine,
    batches: list[list[int]],
    then: Callable[[list[int]], object] = len,
) -> None:
    """Note the kinds of each batch, and call `then` with them once it is committed."""
    journal: Any = engine.parts.backend.journal
    append = journal.append

    async def watched(batch: CommitBatch) -> BatchOutcome:
        kinds = [row.entry_kind for row in batch.rows]
        batches.append(kinds)
        outcome: BatchOutcome = await append(batch)
        then(kinds)
        return outcome

    journal.append = watched


async def test_everything_issued_earlier_is_durable_before_the_function_is_called(
    open_engine: OpenEngine,
    url: str,
) -> None:
    seen: list[list[str]] = []

    @step
    async def note(number: int) -> int:
        return number

    @step(effect=GUARDED, on_ambiguous=OnAmbiguous.FAIL)
    async def pay() -> None:
        rows = query(path_of(url), "SELECT step_id, entry_kind FROM durable_journal ORDER BY seq")
        seen.append([step_id for step_id, _ in rows if step_id])

    async def body(ctx: DurableContext) -> None:
        await ctx.step(note, 1)
        await ctx.step(pay)
        await ctx.step(note, 2)
        await ctx.step(note, 3)
        await ctx.step(pay)

    program = version(body)
    async with open_engine(program, journal_flush_interval_ms=60_000) as engine:
        await engine.run(program)
    assert seen == [["0", "1"], ["0", "1", "1", "2", "3", "4"]]


async def test_a_result_is_durable_before_it_leaves_the_execution(
    open_engine: OpenEngine,
    url: str,
) -> None:
    @step
    async def note() -> str:
        return "x"

    async def body(ctx: DurableContext) -> str:
        return await ctx.step(note)

    program = version(body)
    async with open_engine(program, journal_flush_interval_ms=60_000) as engine:
        await engine.run(program)
        kinds = query(path_of(url), "SELECT entry_kind FROM durable_journal ORDER BY seq")
    assert [kind for (kind,) in kinds] == [
        EntryKind.EXECUTION_STARTED,
        EntryKind.STEP_RESULT,
        EntryKind.EXECUTION_FINISHED,
    ]


async def test_guarded_steps_in_a_row_share_the_commit_of_result_and_next_intent(
    open_engine: OpenEngine,
) -> None:
    batches: list[list[int]] = []

    @step(effect=GUARDED, on_ambiguous=OnAmbiguous.FAIL)
    async def pay(number: int) -> int:
        return number

    async def body(ctx: DurableContext) -> None:
        for number in range(3):
            await ctx.step(pay, number)

    program = version(body)
    async with open_engine(program) as engine:
        watch(engine, batches)
        # Whatever commits, commits because of an acknowledged entry, not because time has passed.
        engine.parts.writer._urgency._intervals = (60.0, 60.0)
        await engine.run(program)
    intent, result = EntryKind.EFFECT_INTENT, EntryKind.STEP_RESULT
    assert batches == [
        [EntryKind.EXECUTION_STARTED, intent],
        [result, intent],
        [result, intent],
        [result, EntryKind.EXECUTION_FINISHED],
    ]


async def test_a_guarded_result_is_committed_when_the_workflow_suspends_elsewhere(
    open_engine: OpenEngine,
) -> None:
    committed = asyncio.Event()
    batches: list[list[int]] = []

    @step(effect=GUARDED, on_ambiguous=OnAmbiguous.FAIL)
    async def pay() -> None:
        pass

    @step
    async def slow() -> None:
        await committed.wait()

    def release(kinds: list[int]) -> None:
        if EntryKind.STEP_RESULT in kinds:
            committed.set()

    async def body(ctx: DurableContext) -> None:
        await ctx.step(pay)
        await ctx.step(slow)

    program = version(body)
    async with open_engine(program, journal_flush_interval_ms=60_000) as engine:
        engine.parts.writer._urgency._intervals = (60.0, 60.0)
        watch(engine, batches, release)
        await engine.run(program)
    assert batches[:2] == [
        [EntryKind.EXECUTION_STARTED, EntryKind.EFFECT_INTENT],
        [EntryKind.STEP_RESULT],
    ]


async def test_results_of_other_classes_keep_waiting_for_company(open_engine: OpenEngine) -> None:
    batches: list[list[int]] = []

    @step(effect=EffectClass.IDEMPOTENT)
    async def note(number: int) -> int:
        return number

    async def body(ctx: DurableContext) -> None:
        for number in range(5):
            await ctx.step(note, number)

    program = version(body)
    async with open_engine(program) as engine:
        engine.parts.writer._urgency._intervals = (60.0, 60.0)
        watch(engine, batches)
        await engine.run(program)
    assert batches == [
        [EntryKind.EXECUTION_STARTED, *[EntryKind.STEP_RESULT] * 5, EntryKind.EXECUTION_FINISHED],
    ]


async def test_everything_issued_earlier_is_durable_before_a_function_is_called_again(
    open_engine: OpenEngine,
    url: str,
) -> None:
    """Its intent is old: no commit of its own stands between the other step and the function."""
    stage = Stage()
    noted = asyncio.Event()
    seen: list[list[str]] = []

    @step
    async def note() -> None:
        if not stage.gate.is_set():
            await asyncio.Event().wait()

    async def ask(_key: bytes) -> object:
        await noted.wait()
        return DID_NOT_HAPPEN

    @step(effect=GUARDED, on_ambiguous=reconcile(ask))
    async def pay() -> None:
        rows = query(path_of(url), "SELECT step_id FROM durable_journal ORDER BY seq")
        seen.append([step_id for (step_id,) in rows if step_id])
        if not stage.gate.is_set():
            await stage.pause()

    async def body(ctx: DurableContext) -> None:
        beside = asyncio.create_task(ctx.step(note))
        beside.add_done_callback(lambda _: noted.set())
        await asyncio.gather(beside, ctx.step(pay))

    program = version(body)
    async with open_engine(program, close_timeout_ms=1) as engine:
        handle = await engine.start(program)
        await stage.reached.wait()
    stage.gate.set()
    noted.clear()
    async with open_engine(program, journal_flush_interval_ms=60_000) as engine:
        await (await engine.get(handle.id)).result()
    assert seen == [["1"], ["1", "0"]]
