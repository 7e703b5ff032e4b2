"""The writer when the store, an entry, the owner or the writer itself is in trouble."""

from __future__ import annotations

import asyncio

import pytest

from durable_core.conformance.faults import Landed, Stall
from durable_core.errors import (
    CommitOutcomeUnknown,
    EntryRejected,
    ExecutionFenced,
    ExecutionTerminal,
    JournalUnavailable,
    TransientStoreError,
)
from durable_core.journal import Health, WriterSettings
from durable_core.model.entries import ExecutionFinished
from durable_core.model.execution import Status
from tests.ciphers import DefectiveCipher
from tests.faults import faulty
from tests.journals import begun, opened, result_of, wire_format, writing
from tests.passing import Passing

BUSY = TransientStoreError("busy")
LOST = TransientStoreError("the line broke", landed_unknown=True)
FULL = JournalUnavailable("the disk is full; free some space")
PATIENT = WriterSettings(flush_interval_ms=60_000)
LONG_S = 600
LONG = WriterSettings(ack_timeout_ms=LONG_S * 1000)


async def test_transient_trouble_is_retried_in_order_with_the_same_blobs(url: str) -> None:
    async with faulty(url) as (backend, journal):
        execution = await begun(journal)
        backend.batches.clear()
        backend.faults.extend([BUSY, BUSY])
        await journal.append_acked(result_of(execution, 0))
        assert await backend.steps_of(execution) == ["0"]
        assert len({batch.rows for batch in backend.batches}) == 1
        assert len(backend.batches) == 3
        assert journal.health().failed == 0


async def test_a_commit_that_landed_before_the_trouble_is_not_written_twice(url: str) -> None:
    async with faulty(url) as (backend, journal):
        first, second = await begun(journal), await begun(journal)
        backend.faults.append(Landed(LOST))
        journal.append_buffered(result_of(first, 0))
        journal.append_buffered(result_of(second, 0))
        seq = await journal.append_acked(result_of(first, 1))
        assert seq == await backend.real.max_seq()
        assert await backend.steps_of(first) == ["0", "1"]
        assert await backend.steps_of(second) == ["0"]
        await journal.append_acked(result_of(second, 1))
        await journal.flush()


async def test_a_start_and_a_status_that_landed_are_recognised(url: str) -> None:
    async with faulty(url) as (backend, journal):
        backend.faults.append(Landed(LOST))
        execution = await begun(journal, key="k")
        row = await backend.real.load(execution.bytes)
        assert row is not None
        lane = journal.attach(row)
        backend.faults.append(Landed(LOST))
        await journal.writer.change_status(lane, Status.BLOCKED)
        row = await backend.real.load(execution.bytes)
        assert row is not None
        assert row.status == "blocked"
        assert journal.health().failed == 0


async def test_trouble_beyond_the_deadline_fails_and_heals(url: str, passing: Passing) -> None:
    async with faulty(url, LONG) as (backend, journal):
        execution, other = await begun(journal), await begun(journal)
        backend.batches.clear()
        backend.faults.extend([BUSY] * 100)
        backend.probe_faults.append(BUSY)
        append = asyncio.create_task(journal.append_acked(result_of(execution, 0)))
        while len(backend.batches) < 3:  # noqa: ASYNC110 - the store is asked again and again
            await asyncio.sleep(0)
        assert not append.done()
        passing(LONG_S)
        with pytest.raises(JournalUnavailable):
            await append
        await backend.healthy()
        backend.faults.clear()
        assert journal.health().failed == 1
        await journal.append_acked(result_of(other, 0))
        assert await backend.steps_of(other) == ["0"]


async def test_ec_04_one_bad_entry_takes_only_its_own_execution_with_it(url: str) -> None:
    async with faulty(url, PATIENT) as (backend, journal):
        executions = [await begun(journal) for _ in range(4)]
        bad = executions[1]
        await journal.append_acked(result_of(bad, 0))
        for execution in executions:
            journal.append_buffered(result_of(execution, 1))
        journal.append_buffered(result_of(bad, 0))
        doomed = asyncio.create_task(journal.append_acked(result_of(bad, 2)))
        await asyncio.sleep(0)
        for execution in executions:
            if execution != bad:
                await journal.append_acked(result_of(execution, 3))
        with pytest.raises(EntryRejected):
            await doomed
        for execution in executions:
            expected = ["0", "1"] if execution == bad else ["1", "3"]
            assert await backend.steps_of(execution) == expected
        with pytest.raises(EntryRejected):
            journal.append_buffered(result_of(bad, 4))
        with pytest.raises(JournalUnavailable, match="2 accepted entries"):
            await journal.flush()
        await journal.flush()


async def test_ec_04_a_cipher_that_raises_fails_its_own_execution_without_showing_why(
    url: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    wire = wire_format(cipher=DefectiveCipher(b"canary"))
    async with faulty(url, PATIENT, wire) as (backend, journal):
        bad, good = await begun(journal), await begun(journal)
        journal.append_buffered(result_of(bad, 0))
        journal.append_buffered(result_of(good, 0))
        journal.append_buffered(result_of(bad, 1, b"canary"))
        with pytest.raises(EntryRejected, match="CipherDefect") as raised:
            await journal.append_acked(result_of(bad, 2))
        await journal.append_acked(result_of(good, 1))
        assert raised.value.__cause__ is raised.value.__context__ is None
        assert "canary" not in str(raised.value) + caplog.text
        assert await backend.steps_of(bad) == ["0"]
        assert await backend.steps_of(good) == ["0", "1"]
        health = journal.health()
        assert (health.state, health.restarts, health.failed) == (Health.HEALTHY, 0, 2)


async def test_ec_05_after_a_failed_group_commit_nothing_commits_ahead_of_the_hole(
    url: str,
) -> None:
    async with faulty(url, PATIENT) as (backend, journal):
        execution, other = await begun(journal), await begun(journal)
        journal.append_buffered(result_of(execution, 0))
        backend.faults.append(FULL)
        with pytest.raises(JournalUnavailable, match="full"):
            await journal.flush()
        await backend.healthy()
        with pytest.raises(JournalUnavailable):
            await journal.append_acked(result_of(execution, 1))
        await journal.append_acked(result_of(other, 0))
        assert await backend.steps_of(execution) == []


async def test_ec_09_a_store_that_takes_nothing_degrades_and_recovers(url: str) -> None:
    async with faulty(url, PATIENT) as (backend, journal):
        execution, other = await begun(journal), await begun(journal)
        backend.faults.append(FULL)
        backend.probe_faults.extend([FULL, FULL])
        with pytest.raises(JournalUnavailable, match="free some space"):
            await journal.append_acked(result_of(execution, 0))
        health = journal.health()
        assert health.state is Health.DEGRADED
        assert health.cause == str(FULL)
        with pytest.raises(JournalUnavailable, match="degraded"):
            health.require()
        assert not journal.append_buffered(result_of(other, 0))
        with pytest.raises(JournalUnavailable, match="takes no appends"):
            await journal.append_acked(result_of(other, 0))
        await backend.healthy()
        journal.health().require()
        await journal.append_acked(result_of(other, 0))
        assert await backend.steps_of(other) == ["0"]


async def test_ec_02_a_stalled_store_fails_an_acknowledged_append_in_time(
    url: str, passing: Passing
) -> None:
    async with faulty(url, LONG) as (backend, journal):
        execution = await begun(journal)
        stall = Stall()
        backend.faults.append(stall)
        first = asyncio.create_task(journal.append_acked(result_of(execution, 0)))
        await stall.reached.wait()
        passing(LONG_S)
        with pytest.raises(CommitOutcomeUnknown, match="600000 ms"):
            await first
        second = asyncio.create_task(journal.append_acked(result_of(execution, 1)))
        await asyncio.sleep(0)
        passing(LONG_S)
        with pytest.raises(CommitOutcomeUnknown):
            await second
        assert journal.health().state is Health.DEGRADED
        stall.gate.set()
        await journal.flush()
        assert journal.health().state is Health.HEALTHY
        assert await backend.steps_of(execution) == ["0", "1"]
        assert journal.health().acknowledged_late == 2


async def test_ec_02_a_dead_writer_fails_its_callers_at_once(url: str) -> None:
    async with faulty(url) as (backend, journal):
        execution = await begun(journal)
        backend.faults.extend([RuntimeError("bug")] * 3)
        with pytest.raises(JournalUnavailable, match="crashes on every start"):
            await journal.append_acked(result_of(execution, 0))
        assert journal.health().state is Health.DEAD
        with pytest.raises(JournalUnavailable):
            await journal.append_acked(result_of(execution, 1))
        assert not journal.append_buffered(result_of(execution, 1))
        with pytest.raises(JournalUnavailable):
            await journal.flush()


async def test_a_stale_owner_is_fenced_and_the_others_commit(url: str) -> None:
    async with faulty(url, PATIENT) as (backend, journal):
        stale, other = await begun(journal), await begun(journal)
        row = await backend.real.load(stale.bytes)
        assert row is not None
        assert await backend.real.claim(row, "owner-b", 0) is not None
        journal.append_buffered(result_of(stale, 0))
        await journal.append_acked(result_of(other, 0))
        with pytest.raises(ExecutionFenced):
            await journal.append_acked(result_of(stale, 1))
        assert await backend.steps_of(stale) == []
        assert await backend.steps_of(other) == ["0"]


async def test_an_execution_that_somebody_ended_is_terminal_here(url: str) -> None:
    async with opened(url) as backend, writing(backend) as one, writing(backend, owner="b") as two:
        execution = await begun(one)
        row = await backend.load(execution.bytes)
        assert row is not None
        two.attach(row)
        await two.append_acked(ExecutionFinished(execution, 0, Status.CANCELLED, b"\x01\x82``"))
        with pytest.raises(ExecutionTerminal, match="nothing was written"):
            await one.append_acked(result_of(execution, 0))
        with pytest.raises(JournalUnavailable):
            await one.flush()


async def test_closing_while_the_store_stalls_is_bounded_and_loud(url: str) -> None:
    settings = WriterSettings(close_timeout_ms=20, flush_interval_ms=60_000)
    async with faulty(url, settings) as (backend, journal):
        execution = await begun(journal)
        stall = Stall()
        backend.faults.append(stall)
        journal.append_buffered(result_of(execution, 0))
        with pytest.raises(JournalUnavailable, match="1 accepted entries"):
            await journal.close()
        stall.gate.set()
