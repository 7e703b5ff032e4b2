"""The writer where two troubles meet."""

from __future__ import annotations

import asyncio

import pytest
from attrs import evolve

from durable_core.conformance.faults import Landed, Stall
from durable_core.contracts import BatchOutcome, CommitBatch, MasterKeys
from durable_core.errors import (
    CommitOutcomeUnknown,
    ConfigError,
    EntryRejected,
    ExecutionFenced,
    JournalUnavailable,
    TransientStoreError,
)
from durable_core.journal import WriterSettings
from durable_core.model.execution import Status
from tests.faults import faulty
from tests.holding import failing, turns
from tests.journals import MASTER, OTHER_OWNER, begun, opened, result_of, wire_format, writing
from tests.passing import Passing

FULL = JournalUnavailable("the disk is full")
PATIENT = WriterSettings(flush_interval_ms=60_000)


async def test_a_lane_that_cannot_be_sealed_fails_alone(url: str) -> None:
    """A wire format without a cipher can stamp what is not sealed, and nothing else."""
    async with opened(url) as backend:
        async with writing(backend) as journal:
            sealed = await begun(journal)
        plain_wire = wire_format(MasterKeys(1, {1: MASTER}))
        object.__setattr__(plain_wire, "cipher", None)
        async with writing(backend, plain_wire, owner=OTHER_OWNER) as journal:
            row = await backend.load(sealed.bytes)
            assert row is not None
            claimed = await backend.claim(row, OTHER_OWNER, 0)
            assert claimed is not None
            journal.attach(claimed)
            open_one = await begun(journal, sealed=False)
            journal.append_buffered(result_of(sealed, 0))
            await journal.append_acked(result_of(open_one, 0))
            with pytest.raises(ConfigError, match="no cipher"):
                await journal.append_acked(result_of(sealed, 1))
            with pytest.raises(JournalUnavailable):
                await journal.flush()


async def test_a_store_that_fails_while_a_rejected_batch_is_taken_apart(url: str) -> None:
    async with faulty(url, PATIENT) as (backend, journal):
        executions = [await begun(journal) for _ in range(3)]
        for execution in executions:
            journal.append_buffered(result_of(execution, 0))
        backend.faults.extend([EntryRejected("no"), None, FULL])
        with pytest.raises(JournalUnavailable, match="2 accepted entries"):
            await journal.flush()
        await backend.probed.wait()
        counts = [
            len(await backend.real.journal.read_execution(execution.bytes))
            for execution in executions
        ]
        assert counts == [2, 1, 1]


async def test_a_store_that_cannot_say_whether_a_rejected_entry_landed(url: str) -> None:
    async with faulty(url, PATIENT) as (backend, journal):
        execution = await begun(journal)
        backend.faults.append(EntryRejected("no"))
        backend.head_faults.append(FULL)
        with pytest.raises(JournalUnavailable, match="full"):
            await journal.append_acked(result_of(execution, 0))


async def test_a_store_that_fails_when_a_restarted_writer_asks_what_landed(url: str) -> None:
    async with faulty(url, PATIENT) as (backend, journal):
        execution = await begun(journal)
        backend.faults.append(RuntimeError("a defect"))
        backend.head_faults.append(FULL)
        with pytest.raises(CommitOutcomeUnknown, match="full"):
            await journal.append_acked(result_of(execution, 0))
        assert journal.health().restarts == 1


async def test_a_status_that_did_not_land_is_told_from_one_that_did(url: str) -> None:
    """A bare change of status has no row to compare; the execution's own row decides."""
    async with faulty(url, PATIENT) as (backend, journal):
        execution = await begun(journal)
        row = await backend.real.load(execution.bytes)
        assert row is not None
        lane = journal.attach(row)
        assert await backend.real.claim(row, "owner-b", 0) is not None
        with pytest.raises(ExecutionFenced):
            await journal.writer.change_status(lane, Status.BLOCKED)
        with pytest.raises(ExecutionFenced):
            journal.writer.change_status(lane, Status.BLOCKED)


async def test_a_barrier_waits_for_its_lane_and_raises_its_failure(url: str) -> None:
    async with faulty(url, PATIENT) as (backend, journal):
        execution = await begun(journal)
        row = await backend.real.load(execution.bytes)
        assert row is not None
        lane = journal.attach(row)
        await journal.writer.barrier(lane)
        journal.append_buffered(result_of(execution, 0))
        await journal.writer.barrier(lane)
        assert len(await backend.real.journal.read_execution(execution.bytes)) == 2
        backend.faults.append(FULL)
        journal.append_buffered(result_of(execution, 1))
        with pytest.raises(JournalUnavailable, match="full"):
            await journal.writer.barrier(lane)
        with pytest.raises(JournalUnavailable, match="full"):
            await journal.writer.barrier(lane)


async def test_an_unknown_start_that_did_not_land_is_written_by_the_retry(url: str) -> None:
    async with faulty(url, PATIENT) as (backend, journal):
        backend.faults.append(TransientStoreError("lost", landed_unknown=True))
        execution = await begun(journal)
        assert len(await backend.real.journal.read_execution(execution.bytes)) == 1


async def test_an_execution_that_vanished_is_fenced(url: str) -> None:
    async with faulty(url, PATIENT) as (backend, journal):
        execution = await begun(journal)
        backend.faults.append(Landed(RuntimeError("a defect")))
        await journal.append_acked(result_of(execution, 0))
        backend.vanished = True
        backend.faults.append(EntryRejected("no"))
        with pytest.raises(EntryRejected):
            await journal.append_acked(result_of(execution, 1))


async def test_closing_a_degraded_writer_does_not_wait_for_the_store(url: str) -> None:
    async with faulty(url, PATIENT) as (backend, journal):
        execution = await begun(journal)
        backend.faults.append(FULL)
        backend.probe_faults.extend([FULL] * 1000)
        with pytest.raises(JournalUnavailable):
            await journal.append_acked(result_of(execution, 0))
        await journal.close()
        assert journal.health().failed == 1


async def test_a_row_whose_number_the_store_does_not_tell_is_not_acknowledged(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with faulty(url, PATIENT) as (backend, journal):
        execution = await begun(journal)

        async def untold(batch: CommitBatch) -> BatchOutcome:
            outcome = await backend.real.journal.append(evolve(batch, told=None))
            return evolve(outcome, seqs=[None for _ in outcome.seqs])

        monkeypatch.setattr(backend, "append", untold)
        with pytest.raises(JournalUnavailable, match="not committed"):
            await journal.append_acked(result_of(execution, 0))
        assert journal.health().failed == 1
        with pytest.raises(JournalUnavailable, match="1 accepted"):
            await journal.flush()


async def test_a_settled_append_is_not_failed_again_when_the_writer_is_stopped(url: str) -> None:
    settings = WriterSettings(close_timeout_ms=20, flush_interval_ms=60_000)
    async with faulty(url, settings) as (backend, journal):
        first, second = await begun(journal), await begun(journal)
        stall = Stall()
        backend.faults.extend([EntryRejected("no"), None, stall])
        journal.append_buffered(result_of(first, 0))
        last = asyncio.create_task(journal.append_acked(result_of(second, 0)))
        await stall.reached.wait()
        await journal.close()
        with pytest.raises(CommitOutcomeUnknown, match="closed before"):
            await last
        assert journal.health().failed == 1
        assert len(await backend.real.journal.read_execution(first.bytes)) == 2
        stall.gate.set()


async def test_later_entries_of_a_rejected_one_in_the_same_batch_fail_with_it(url: str) -> None:
    async with faulty(url, PATIENT) as (backend, journal):
        bad, good = await begun(journal), await begun(journal)
        for entry in (
            result_of(bad, 0),
            result_of(bad, 0),
            result_of(good, 0),
            result_of(bad, 1),
        ):
            journal.append_buffered(entry)
        with pytest.raises(JournalUnavailable, match="2 accepted entries"):
            await journal.flush()
        assert len(await backend.real.journal.read_execution(bad.bytes)) == 2
        assert len(await backend.real.journal.read_execution(good.bytes)) == 2


async def test_a_writer_that_dies_while_taking_a_batch_apart_repeats_only_the_rest(
    url: str,
) -> None:
    async with faulty(url, PATIENT) as (backend, journal):
        first, second = await begun(journal), await begun(journal)
        backend.faults.extend([EntryRejected("no"), None, RuntimeError("a defect")])
        journal.append_buffered(result_of(first, 0))
        journal.append_buffered(result_of(second, 0))
        await journal.flush()
        for execution in (first, second):
            assert len(await backend.real.journal.read_execution(execution.bytes)) == 2
        assert journal.health().restarts == 1


async def test_an_entry_that_is_rejected_because_it_landed_already_counts_as_committed(
    url: str,
) -> None:
    async with faulty(url, PATIENT) as (backend, journal):
        execution = await begun(journal)
        backend.faults.append(Landed(EntryRejected("a unique index")))
        assert await journal.append_acked(result_of(execution, 0)) == 2
        await journal.flush()


async def test_an_append_that_waited_for_room_is_bounded_as_a_whole(
    url: str, passing: Passing
) -> None:
    """It waits for less than the limit for room, and for less than that for its commit."""
    settings = WriterSettings(acked_capacity=1, ack_timeout_ms=600_000)
    async with faulty(url, settings) as (backend, journal):
        execution = await begun(journal)
        first, second = Stall(), Stall()
        backend.faults.extend([first, second])
        held = asyncio.create_task(journal.append_acked(result_of(execution, 0)))
        await first.reached.wait()
        waiting = asyncio.create_task(journal.append_acked(result_of(execution, 1)))
        await asyncio.sleep(0)
        passing(400)
        first.gate.set()
        await held
        await second.reached.wait()
        passing(400)
        with pytest.raises(CommitOutcomeUnknown, match="may still be committed"):
            await waiting
        second.gate.set()
        await journal.flush()
        assert journal.health().acknowledged_late == 1


@pytest.mark.parametrize("acked_capacity", [1, 4096])
async def test_whoever_was_told_of_an_unknown_outcome_is_no_matter_for_close(
    url: str, acked_capacity: int
) -> None:
    """Whether or not it had waited for room: its append is lost after that."""
    settings = WriterSettings(acked_capacity=acked_capacity, ack_timeout_ms=500)
    async with faulty(url, settings) as (backend, journal):
        execution, other = await begun(journal), await begun(journal)
        first, second = Stall(), Stall()
        backend.faults.extend([first, second])
        held = asyncio.create_task(journal.append_acked(result_of(execution, 0)))
        await first.reached.wait()
        waiting = asyncio.create_task(journal.append_acked(result_of(other, 0)))
        await turns()
        first.gate.set()
        await held
        await second.reached.wait()
        with pytest.raises(CommitOutcomeUnknown, match="500 ms"):
            await waiting
        with failing(backend.real.journal, "append", FULL):
            second.gate.set()
            await journal.close()
        assert journal.health().failed == 1


async def test_a_turn_comes_when_there_is_room_and_none_while_the_store_is_down(url: str) -> None:
    async with faulty(url, WriterSettings(acked_capacity=1)) as (backend, journal):
        execution = await begun(journal)
        stall = Stall()
        backend.faults.extend([stall, FULL])
        held = asyncio.create_task(journal.append_acked(result_of(execution, 0)))
        await stall.reached.wait()
        turn = journal.writer.turn()
        assert not turn.done()
        stall.gate.set()
        assert await turn is True
        await held
        with pytest.raises(JournalUnavailable, match="the disk is full"):
            await journal.append_acked(result_of(execution, 1))
        with pytest.raises(JournalUnavailable, match="takes no appends"):
            journal.writer.turn()
        await backend.healthy()


async def test_of_two_flushes_at_once_each_tells_of_a_loss(url: str) -> None:
    async with faulty(url, PATIENT) as (_, journal):
        execution = await begun(journal)
        journal.append_buffered(result_of(execution, 0))
        journal.append_buffered(result_of(execution, 0))
        both = await asyncio.gather(journal.flush(), journal.flush(), return_exceptions=True)
        assert [type(told) for told in both] == [JournalUnavailable] * 2
        assert len({str(told) for told in both}) == 1
        await journal.flush()
