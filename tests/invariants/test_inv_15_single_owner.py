"""INV-15: at most one engine runs an execution, and who lost it writes nothing more."""

from __future__ import annotations

import asyncio
import random
import uuid
from contextlib import AsyncExitStack
from typing import Any

import pytest

from durable_core import DurableContext, DurableEngine, EffectClass, step
from durable_core.contracts import CommitBatch, ExecutionBackend, HeadChange
from durable_core.errors import (
    ExecutionFenced,
    ExecutionLocked,
    ExecutionTerminal,
    JournalUnavailable,
)
from durable_core.journal import JournalWriterHandle
from durable_core.model.execution import ExecutionRow
from tests.engines import OpenEngine
from tests.journals import begun, opened, result_of, writing
from tests.programs import Stage, version
from tests.unit.engine.owning import answering, program_of
from tests.unit.engine.processes import child

pytestmark = pytest.mark.dialects

CLAIMERS = 6
TRIALS = 50


async def row_of(engine: DurableEngine, execution_id: uuid.UUID) -> ExecutionRow:
    row = await engine.parts.backend.load(execution_id.bytes)
    assert row is not None
    return row


async def claim(engine: DurableEngine, execution_id: uuid.UUID) -> None:
    """What an operator's forced claim does: the epoch rises, whoever lives."""
    row = await row_of(engine, execution_id)
    assert await engine.parts.backend.claim(row, engine.parts.journal.owner_id, 1) is not None


async def reported(journal: DurableEngine | JournalWriterHandle) -> None:
    """What a fence refused is told by the next flush too, and once."""
    with pytest.raises(JournalUnavailable):
        await journal.flush()
    await journal.flush()


async def test_ec_29_an_owner_that_wakes_up_too_late_cannot_commit(
    open_engine: OpenEngine, url: str
) -> None:
    program = program_of(url, answering("ours"))
    async with child("own", url, "alone", 1) as stale, open_engine(program) as engine:
        (execution_id,) = map(uuid.UUID, (await stale.says("started")).split())
        await stale.says("holding")
        stale.stop()
        with pytest.raises(ExecutionLocked):
            await engine.resume(execution_id)  # stopped, but alive
        await claim(engine, execution_id)
        handle = await engine.resume(execution_id)
        assert await handle.result() == ["first", "ours", "last"]
        entries = await engine.parts.backend.journal.read_execution(execution_id.bytes)
        row = await row_of(engine, execution_id)
        stale.hear("too late")
        stale.wake()
        assert await stale.says("ended") == "ExecutionFenced"
        assert await engine.parts.backend.journal.read_execution(execution_id.bytes) == entries
        assert await row_of(engine, execution_id) == row
        assert (await engine.verify(execution_id)).entries == len(entries)


@pytest.mark.parametrize("point", ["a result", "an intent", "the end"])
async def test_ec_29_a_fence_is_met_wherever_the_stale_owner_goes_on(
    point: str, open_engine: OpenEngine
) -> None:
    stage = Stage()

    @step(name="buffered")
    async def buffered() -> str:
        stage.calls.append("buffered")
        if point == "a result":
            await stage.pause()
        return "buffered"

    @step(name="guarded", effect=EffectClass.EXACTLY_ONCE_GUARDED)
    async def guarded() -> str:
        stage.calls.append("guarded")
        return "guarded"

    async def body(ctx: DurableContext) -> list[str]:
        values = [await ctx.step(buffered)]
        if point == "an intent":
            await stage.pause()
        values.append(await ctx.step(guarded))
        if point == "the end":
            await stage.pause()
        return values

    program = version(body)
    async with open_engine(program) as engine, open_engine() as other:
        handle = await engine.start(program)
        await stage.reached.wait()
        await engine.flush()
        await claim(other, handle.id)
        before = await other.parts.backend.journal.read_execution(handle.id.bytes)
        stage.gate.set()
        with pytest.raises(ExecutionFenced):
            await handle.result()
        assert await other.parts.backend.journal.read_execution(handle.id.bytes) == before
        assert ("guarded" in stage.calls) is (point == "the end")
        await reported(engine)


async def test_the_other_executions_of_a_batch_commit(open_engine: OpenEngine) -> None:
    """One owner's appends to many executions, every second one of which was taken over."""
    stage = Stage()

    @step(name="work")
    async def work(number: int) -> int:
        await stage.pause()
        return number

    async def body(ctx: DurableContext) -> Any:
        return await ctx.step(work, 1)

    program = version(body)
    async with open_engine(program) as engine, open_engine() as other:
        handles = [await engine.start(program) for _ in range(10)]
        for handle in handles[::2]:
            await claim(other, handle.id)
        stage.gate.set()
        ended = await asyncio.gather(
            *(handle.result() for handle in handles), return_exceptions=True
        )
        assert ended[1::2] == [1] * 5
        assert [type(error) for error in ended[::2]] == [ExecutionFenced] * 5
        await other.verify()
        assert engine.health().state.value == "healthy"
        await reported(engine)


async def test_an_append_by_an_earlier_epoch_is_not_written(url: str) -> None:
    async with opened(url) as backend, writing(backend) as journal:
        execution_id = await begun(journal)
        (row,) = await backend.heads([execution_id.bytes])
        assert await backend.claim(row, "somebody else", 1) is not None
        with pytest.raises(ExecutionFenced):
            await journal.append_acked(result_of(execution_id, 0))
        assert len(await backend.journal.read_execution(execution_id.bytes)) == 1
        await reported(journal)


@pytest.mark.parametrize("status", ["completed", "failed", "aborted", "cancelled", "blocked"])
async def test_ec_33_an_append_to_what_does_not_run_is_not_written(status: str, url: str) -> None:
    """The fence holds the status too, so a row that another hand ended accepts nothing."""
    async with opened(url) as backend, writing(backend) as journal:
        execution_id = await begun(journal)
        (row,) = await backend.heads([execution_id.bytes])
        await end(backend, row, status)
        with pytest.raises(ExecutionFenced if status == "blocked" else ExecutionTerminal):
            await journal.append_acked(result_of(execution_id, 0))
        assert len(await backend.journal.read_execution(execution_id.bytes)) == 1
        await reported(journal)


async def end(backend: ExecutionBackend, row: ExecutionRow, status: str) -> None:
    at = None if status == "blocked" else 1
    change = HeadChange(
        execution_id=row.execution_id,
        owner_epoch=row.owner_epoch,
        expected_status="running",
        expected_count=row.entry_count,
        status=status,
        generation=row.generation,
        entry_count=row.entry_count,
        head_hmac=row.head_hmac,
        anchor_mac=row.anchor_mac,
        updated_at=1,
        finalized_at=at,
    )
    outcome = await backend.journal.append(CommitBatch((), (change,), ()))
    assert outcome.unmatched == frozenset()


async def test_of_many_claimers_one_wins(url: str) -> None:
    """Backends of their own on one real file, all after the same orphan."""
    async with AsyncExitStack() as stack, opened(url) as backend:
        claimers = [await stack.enter_async_context(opened(url)) for _ in range(CLAIMERS)]
        async with writing(backend) as journal:
            execution_id = await begun(journal)
        (row,) = await backend.heads([execution_id.bytes])
        rng = random.Random(15)
        for trial in range(TRIALS):
            order = rng.sample(range(CLAIMERS), CLAIMERS)
            claimed = await asyncio.gather(
                *(claimers[each].claim(row, f"owner-{each}", trial) for each in order)
            )
            winners = [each for each, won in zip(order, claimed, strict=True) if won is not None]
            assert len(winners) == 1
            (after,) = await backend.heads([execution_id.bytes])
            assert after.owner_id == f"owner-{winners[0]}"
            assert after.owner_epoch == row.owner_epoch + 1
            row = after
