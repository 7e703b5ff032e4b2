"""The writer when nothing goes wrong, and what it refuses."""

from __future__ import annotations

import asyncio
import logging

import pytest

from durable_core.conformance.faults import Stall
from durable_core.errors import (
    CommitOutcomeUnknown,
    ExecutionNotFound,
    ExecutionTerminal,
    JournalError,
    JournalUnavailable,
    KeyTaken,
    PayloadTooLarge,
    UnsupportedEntryKind,
)
from durable_core.ids import ExecutionId, StepId
from durable_core.journal import Health, JournalWriter, JournalWriterHandle, WriterSettings
from durable_core.model.entries import (
    Checkpoint,
    EntryKind,
    ExecutionFinished,
    ExecutionStarted,
    IntentSettled,
)
from durable_core.model.execution import TERMINAL, Status
from tests.faults import faulty
from tests.journals import (
    MIB,
    OTHER_OWNER,
    OWNER,
    begun,
    fresh_id,
    opened,
    result_of,
    wire_format,
    writing,
)
from tests.passing import Passing

pytestmark = pytest.mark.dialects

PATIENT = WriterSettings(flush_interval_ms=60_000, prompt_interval_ms=60_000)


def settlement_of(execution: ExecutionId) -> IntentSettled:
    """An operator's word that the function of step 0 did not run."""
    return IntentSettled(execution, 0, StepId("0"), b"f" * 32, b"i" * 32, 3, b"\x00")


async def test_ec_01_two_buffered_and_one_acknowledged_commit_together_in_order(url: str) -> None:
    async with faulty(url, PATIENT) as (backend, journal):
        execution = await begun(journal)
        backend.batches.clear()
        assert journal.append_buffered(result_of(execution, 0))
        assert journal.append_buffered(result_of(execution, 1))
        seq = await journal.append_acked(result_of(execution, 2))
        rows = await backend.real.journal.read_execution(execution.bytes)
        assert [row.step_id for row in rows] == ["", "0", "1", "2"]
        assert [row.entry_no for row in rows] == [1, 2, 3, 4]
        assert seq == await backend.real.max_seq() == 4
        assert len(backend.batches) == 1


async def test_seqs_follow_the_order_of_appends_over_executions(url: str) -> None:
    async with faulty(url, PATIENT) as (backend, journal):
        first, second = await begun(journal), await begun(journal)
        stall = Stall()
        backend.faults.append(stall)
        held = asyncio.create_task(journal.append_acked(result_of(first, 0)))
        await stall.reached.wait()
        tasks = [
            asyncio.create_task(journal.append_acked(result_of(execution, step)))
            for step in (1, 2, 3)
            for execution in (first, second)
        ]
        await asyncio.sleep(0)
        stall.gate.set()
        seqs = [await held, *[await task for task in tasks]]
        assert seqs == sorted(seqs)
        assert len(set(seqs)) == len(seqs)


async def test_what_arrives_during_a_commit_is_the_next_batch(url: str) -> None:
    async with faulty(url) as (backend, journal):
        execution = await begun(journal)
        backend.batches.clear()
        stall = Stall()
        backend.faults.append(stall)
        tasks = [asyncio.create_task(journal.append_acked(result_of(execution, 0)))]
        await stall.reached.wait()
        tasks += [
            asyncio.create_task(journal.append_acked(result_of(execution, step)))
            for step in range(1, 50)
        ]
        await asyncio.sleep(0)
        stall.gate.set()
        await asyncio.gather(*tasks)
        assert [len(batch.rows) for batch in backend.batches] == [1, 49]


async def test_a_batch_is_no_larger_than_its_limit(url: str) -> None:
    settings = WriterSettings(batch_limit=10)
    async with faulty(url, settings) as (backend, journal):
        execution = await begun(journal)
        for step in range(95):
            journal.append_buffered(result_of(execution, step))
        await journal.flush()
        sizes = [len(batch.rows) for batch in backend.batches]
        assert max(sizes) == 10
        assert sum(sizes) == 96


async def test_a_crowd_that_waits_is_committed_in_halves(url: str) -> None:
    """One goes on while the other one is committed; fewer share a commit."""
    async with faulty(url) as (backend, journal):
        execution = await begun(journal)
        for crowd, sizes in ((600, [300, 300]), (511, [511])):
            backend.batches.clear()
            appends = [journal.append_acked(result_of(execution, step)) for step in range(crowd)]
            seqs = await asyncio.gather(*appends)
            assert [len(batch.rows) for batch in backend.batches] == sizes
            assert seqs == list(range(seqs[0], seqs[0] + crowd))
            execution = await begun(journal)


async def test_a_buffered_append_is_committed_within_the_flush_interval(url: str) -> None:
    async with faulty(url) as (backend, journal):
        execution = await begun(journal)
        stall = Stall()
        backend.faults.append(stall)
        assert journal.append_buffered(result_of(execution, 0))
        await stall.reached.wait()
        stall.gate.set()


async def test_ec_03_a_full_queue_refuses_counts_and_logs(
    url: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings = WriterSettings(queue_capacity=3, flush_interval_ms=60_000)
    async with faulty(url, settings) as (backend, journal):
        execution = await begun(journal)
        accepted = [journal.append_buffered(result_of(execution, step)) for step in range(5)]
        assert accepted == [True, True, True, False, False]
        assert journal.health().dropped == 2
        assert "its queue is full" in caplog.text
        assert caplog.records[0].levelno == logging.WARNING
        await journal.flush()
        assert journal.append_buffered(result_of(execution, 3))
        await journal.flush()
        rows = await backend.real.journal.read_execution(execution.bytes)
        assert [row.step_id for row in rows] == ["", "0", "1", "2", "3"]


async def test_acknowledged_appends_wait_for_room(url: str) -> None:
    settings = WriterSettings(acked_capacity=2)
    async with faulty(url, settings) as (backend, journal):
        execution = await begun(journal)
        stall = Stall()
        backend.faults.append(stall)
        tasks = [
            asyncio.create_task(journal.append_acked(result_of(execution, step)))
            for step in range(9)
        ]
        await stall.reached.wait()
        assert journal.health().queue_depth <= 2
        stall.gate.set()
        assert sorted(await asyncio.gather(*tasks)) == list(range(2, 11))


async def test_no_room_within_the_deadline_accepts_nothing(url: str, passing: Passing) -> None:
    settings = WriterSettings(acked_capacity=1, ack_timeout_ms=600_000)
    async with faulty(url, settings) as (backend, journal):
        execution = await begun(journal)
        stall = Stall()
        backend.faults.append(stall)
        held = asyncio.create_task(journal.append_acked(result_of(execution, 0)))
        await stall.reached.wait()
        refused = asyncio.create_task(journal.append_acked(result_of(execution, 1)))
        await asyncio.sleep(0)
        passing(600)
        with pytest.raises(JournalUnavailable, match="nothing was accepted") as raised:
            await refused
        assert not isinstance(raised.value, CommitOutcomeUnknown)
        stall.gate.set()
        with pytest.raises(CommitOutcomeUnknown):
            await held
        await journal.flush()
        rows = await backend.real.journal.read_execution(execution.bytes)
        assert [row.step_id for row in rows] == ["", "0"]


async def test_ec_10_a_cancelled_caller_withdraws_nothing(url: str) -> None:
    async with faulty(url) as (backend, journal):
        execution = await begun(journal)
        stall = Stall()
        backend.faults.append(stall)
        task = asyncio.create_task(journal.append_acked(result_of(execution, 0)))
        await stall.reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        stall.gate.set()
        await journal.append_acked(result_of(execution, 1))
        rows = await backend.real.journal.read_execution(execution.bytes)
        assert [row.step_id for row in rows] == ["", "0", "1"]
        assert journal.health().acknowledged_late == 1


async def test_ec_33_a_terminal_execution_accepts_nothing(url: str) -> None:
    async with opened(url) as backend, writing(backend) as journal:
        execution = await begun(journal)
        finished = ExecutionFinished(execution, 0, Status.COMPLETED, b"\x00\xf6")
        await journal.append_acked(finished)
        for entry in (result_of(execution, 0), finished):
            with pytest.raises(ExecutionTerminal):
                journal.append_buffered(entry)
            with pytest.raises(ExecutionTerminal):
                await journal.append_acked(entry)
        row = await backend.load(execution.bytes)
        assert row is not None
        assert (row.status, row.entry_count) == ("completed", 2)


@pytest.mark.parametrize("status", sorted(TERMINAL))
async def test_ec_33_what_ended_goes_on_in_a_new_generation_or_not_at_all(
    url: str,
    status: Status,
) -> None:
    """Neither an operator's word nor a bare change of status sets it running again."""
    async with opened(url) as backend, writing(backend) as journal:
        execution = await begun(journal)
        await journal.append_acked(ExecutionFinished(execution, 0, status, b"\x01\x82``"))
        row = await backend.load(execution.bytes)
        assert row is not None
        lane = journal.attach(row)
        with pytest.raises(ExecutionTerminal):
            await journal.append_acked(settlement_of(execution))
        for other in (Status.RUNNING, Status.BLOCKED):
            with pytest.raises(ExecutionTerminal):
                journal.writer.change_status(lane, other)
        again = ExecutionStarted(execution, 1, b"\x80")
        if status is Status.FAILED:
            await journal.append_acked(again)
        else:
            with pytest.raises(ExecutionTerminal):
                await journal.append_acked(again)
        after = await backend.load(execution.bytes)
        assert after is not None
        resumed = status is Status.FAILED
        assert after.status == ("running" if resumed else status.label)
        assert after.entry_count == (3 if resumed else 2)


@pytest.mark.parametrize("status", sorted(TERMINAL))
async def test_no_execution_ends_without_its_entry(url: str, status: Status) -> None:
    async with opened(url) as backend, writing(backend) as journal:
        execution = await begun(journal)
        row = await backend.load(execution.bytes)
        assert row is not None
        lane = journal.attach(row)
        with pytest.raises(ExecutionTerminal, match="no such entry or change"):
            journal.writer.change_status(lane, status)
        await journal.append_acked(result_of(execution, 0))


async def test_entries_of_later_versions_fail_closed(url: str) -> None:
    async with opened(url) as backend, writing(backend) as journal:
        execution = await begun(journal)
        with pytest.raises(UnsupportedEntryKind, match="nothing was written"):
            journal.append_buffered(Checkpoint(execution, 0, b"range", b"part"))
        assert len(await backend.journal.read_execution(execution.bytes)) == 1


async def test_generations_follow_each_other(url: str) -> None:
    async with opened(url) as backend, writing(backend) as journal:
        execution = await begun(journal)
        with pytest.raises(JournalError, match="generation 1"):
            journal.append_buffered(result_of(execution, 0, generation=1))
        with pytest.raises(JournalError, match="generation 2"):
            journal.append_buffered(ExecutionStarted(execution, 2, b"\x80"))
        await journal.append_acked(ExecutionStarted(execution, 1, b"\x80"))
        await journal.append_acked(result_of(execution, 0, generation=1))
        kinds = [row.entry_kind for row in await backend.journal.read_execution(execution.bytes)]
        assert kinds == [
            EntryKind.EXECUTION_STARTED,
            EntryKind.EXECUTION_STARTED,
            EntryKind.STEP_RESULT,
        ]


async def test_a_settlement_of_a_blocked_execution_sets_it_running(url: str) -> None:
    async with opened(url) as backend, writing(backend) as journal:
        execution = await begun(journal)
        row = await backend.load(execution.bytes)
        assert row is not None
        lane = journal.attach(row)
        await journal.writer.change_status(lane, Status.BLOCKED)
        with pytest.raises(ExecutionTerminal):
            journal.append_buffered(result_of(execution, 0))
        await journal.append_acked(settlement_of(execution))
        row = await backend.load(execution.bytes)
        assert row is not None
        assert (row.status, row.entry_count) == ("running", 2)


async def test_payloads_above_the_limit_and_unknown_executions_are_refused(url: str) -> None:
    async with opened(url) as backend, writing(backend) as journal:
        execution = await begun(journal)
        with pytest.raises(PayloadTooLarge):
            journal.append_buffered(result_of(execution, 0, bytes(MIB + 1)))
        await journal.append_acked(result_of(execution, 0, bytes(MIB)))
        with pytest.raises(ExecutionNotFound):
            journal.append_buffered(result_of(fresh_id(), 0))
        journal.detach(execution)
        with pytest.raises(ExecutionNotFound):
            await journal.append_acked(result_of(execution, 1))


async def test_a_taken_key_starts_nothing_and_names_the_execution(url: str) -> None:
    async with opened(url) as backend, writing(backend) as journal:
        first = await begun(journal, key="order-1")
        with pytest.raises(KeyTaken) as taken:
            await begun(journal, key="order-1")
        assert taken.value.existing == first.bytes
        assert len(await backend.list_executions()) == 1


async def test_a_restart_goes_on_from_the_largest_seq(url: str) -> None:
    async with opened(url) as backend, writing(backend) as journal:
        execution = await begun(journal)
        assert await journal.append_acked(result_of(execution, 0)) == 2
    async with opened(url) as backend, writing(backend, owner=OTHER_OWNER) as journal:
        assert journal.health().max_seq == 2
        row = await backend.load(execution.bytes)
        assert row is not None
        claimed = await backend.claim(row, OTHER_OWNER, 0)
        assert claimed is not None
        journal.attach(claimed)
        assert await journal.append_acked(result_of(execution, 1)) == 3


async def test_close_commits_what_was_accepted_and_leaves_nothing_running(url: str) -> None:
    before = asyncio.all_tasks()
    async with opened(url) as backend:
        async with writing(backend, settings=PATIENT) as journal:
            execution = await begun(journal)
            journal.append_buffered(result_of(execution, 0))
        assert len(await backend.journal.read_execution(execution.bytes)) == 2
        assert journal.health().state is Health.CLOSED
        assert not journal.append_buffered(result_of(execution, 1))
        with pytest.raises(JournalUnavailable, match="closed"):
            await journal.append_acked(result_of(execution, 1))
        await journal.close()
    assert asyncio.all_tasks() == before


async def test_each_committed_append_is_counted_once_in_the_metrics(url: str) -> None:
    recorded: list[tuple[str, float]] = []

    class Kept:
        def record(self, name: str, value: float) -> None:
            recorded.append((name, value))

    async with opened(url) as backend:
        await backend.hold_owner_lock(OWNER)
        writer = JournalWriter(backend, wire_format(), metrics=Kept())
        async with JournalWriterHandle(writer, OWNER) as journal:
            execution = await begun(journal)
            for step in range(3):
                journal.append_buffered(result_of(execution, step))
            await journal.append_acked(result_of(execution, 3))
            assert journal.health().appended == 5
    name = "durable.journal.writer.appended"
    assert sum(value for metric, value in recorded if metric == name) == 5
