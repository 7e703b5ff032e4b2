"""An end and the beginning that is one with it, when the store or the owner is in trouble."""

from __future__ import annotations

import asyncio

import pytest

from durable_core.conformance.faults import FaultyBackend, Landed, Stall
from durable_core.errors import (
    EntryRejected,
    ExecutionFenced,
    ExecutionTerminal,
    PayloadTooLarge,
    TransientStoreError,
)
from durable_core.ids import ExecutionId
from durable_core.journal import JournalWriterHandle, WriterSettings
from durable_core.journal.lane import Lane
from durable_core.model.entries import (
    Entry,
    ExecutionFinished,
    ExecutionStarted,
    PromiseResolved,
    StepResult,
)
from durable_core.model.execution import Status
from durable_core.wire.links import link_detail
from durable_core.wire.waits import Signal
from tests.faults import faulty
from tests.journals import begun, result_of

BUSY = TransientStoreError("busy")
LOST = TransientStoreError("the line broke", landed_unknown=True)
HEIR = ExecutionId(int=7)
PATIENT = WriterSettings(flush_interval_ms=60_000)


async def attached(backend: FaultyBackend, journal: JournalWriterHandle) -> Lane:
    """A stored execution with a key."""
    execution = await begun(journal, key="k")
    row = await backend.real.load(execution.bytes)
    assert row is not None
    return journal.attach(row)


def handed_on(
    journal: JournalWriterHandle, lane: Lane, *more: Entry, payload: bytes = b"\x80"
) -> tuple[Lane, asyncio.Future[int]]:
    """The heir's lane, and what becomes of the two."""
    heir = journal.new_lane(HEIR, lane.row.workflow, key=lane.row.execution_key)
    end = ExecutionFinished(
        ExecutionId(bytes=lane.row.execution_id),
        0,
        Status.COMPLETED,
        b"\x02",
        detail=link_detail(HEIR.bytes),
    )
    start = ExecutionStarted(HEIR, 0, payload, detail=link_detail(lane.row.execution_id))
    return heir, journal.writer.hand_on(lane, end, heir, [start, *more])


def a_signal() -> PromiseResolved:
    detail = Signal(b"s" * 16, "name", b"r" * 16).detail()
    return PromiseResolved(HEIR, 0, result_of(HEIR, 0).step_id, detail, b"\x00\x01")


@pytest.mark.parametrize("faults", [[], [BUSY, BUSY], [Landed(LOST)], [BUSY, Landed(LOST)]])
async def test_both_are_committed_once(url: str, faults: list[Landed | Exception]) -> None:
    async with faulty(url) as (backend, journal):
        lane = await attached(backend, journal)
        backend.batches.clear()
        backend.faults.extend(faults)
        heir, done = handed_on(journal, lane, a_signal())
        await done
        assert len({batch.rows for batch in backend.batches}) == 1
        ended = await backend.real.load(lane.row.execution_id)
        assert ended is not None
        assert (ended.status, ended.entry_count) == ("completed", 2)
        begun_row = await backend.real.load(HEIR.bytes)
        assert begun_row is not None
        assert (begun_row.status, begun_row.entry_count) == ("running", 2)
        assert await backend.real.find(lane.row.workflow, "k") == HEIR.bytes
        assert (heir.stored, heir.committed.entries) == (True, 2)
        await journal.append_acked(result_of(HEIR, 0))
        assert len(await backend.read_execution(HEIR.bytes)) == 3
        with pytest.raises(ExecutionTerminal):
            journal.append_buffered(result_of(ExecutionId(bytes=lane.row.execution_id), 0))
        assert journal.health().failed == 0


async def test_they_stay_together_where_the_batch_is_taken_apart(url: str) -> None:
    """Another execution's entry is rejected, so that each append goes alone."""
    async with faulty(url, PATIENT) as (backend, journal):
        lane, bad = await attached(backend, journal), await begun(journal)
        await journal.append_acked(result_of(bad, 0))
        journal.append_buffered(result_of(ExecutionId(bytes=lane.row.execution_id), 0))
        journal.append_buffered(result_of(bad, 0))
        _, done = handed_on(journal, lane)
        await done
        assert await backend.real.find(lane.row.workflow, "k") == HEIR.bytes
        assert len(await backend.read_execution(lane.row.execution_id)) == 3
        together = [batch for batch in backend.batches if batch.successions]
        assert all(len(batch.starts) == 1 for batch in together)
        with pytest.raises(EntryRejected):
            journal.append_buffered(result_of(bad, 1))
        with pytest.raises(Exception, match="accepted entries"):
            await journal.flush()


async def test_inv_15_of_a_stale_owner_nothing_begins(url: str) -> None:
    async with faulty(url) as (backend, journal):
        lane = await attached(backend, journal)
        stall = Stall()
        backend.faults.append(stall)
        _, done = handed_on(journal, lane)
        await stall.reached.wait()
        row = await backend.real.load(lane.row.execution_id)
        assert row is not None
        assert await backend.real.claim(row, "other", 1) is not None
        stall.gate.set()
        with pytest.raises(ExecutionFenced):
            await done
        assert await backend.real.load(HEIR.bytes) is None
        assert await backend.real.find(lane.row.workflow, "k") == lane.row.execution_id


async def test_what_is_refused_notes_nothing(url: str) -> None:
    async with faulty(url) as (backend, journal):
        lane = await attached(backend, journal)
        with pytest.raises(PayloadTooLarge):
            handed_on(journal, lane, payload=b"x" * (2 << 20))
        assert lane.accepted_status is Status.RUNNING
        execution = ExecutionId(bytes=lane.row.execution_id)
        result: StepResult = result_of(execution, 0)
        await journal.append_acked(result)
        assert await backend.real.load(HEIR.bytes) is None
