"""The writer's task is killed or crashes, at every point of its work, and goes on (EC-07)."""

from __future__ import annotations

import asyncio

import pytest

from durable_core.conformance.faults import Landed, Stall
from durable_core.errors import EntryRejected, JournalUnavailable, TransientStoreError
from durable_core.journal import Health, WriterSettings
from durable_core.model.execution import Status
from tests.faults import faulty
from tests.journals import begun, result_of

BUSY = TransientStoreError("busy")
FULL = JournalUnavailable("the disk is full; free some space")
DEFECT = RuntimeError("a defect")
PATIENT = WriterSettings(flush_interval_ms=60_000)


def task_named(name: str) -> asyncio.Task[object]:
    (task,) = [task for task in asyncio.all_tasks() if task.get_name() == name]
    return task


def writer_task() -> asyncio.Task[object]:
    return task_named("durable-journal-writer")


@pytest.mark.parametrize("landed", [False, True])
async def test_ec_07_a_writer_killed_in_mid_batch_restarts_without_gap_or_duplicate(
    url: str,
    *,
    landed: bool,
) -> None:
    async with faulty(url) as (backend, journal):
        execution = await begun(journal)
        journal.append_buffered(result_of(execution, 0))
        stall = Stall()
        backend.faults.append(Landed(RuntimeError("killed")) if landed else stall)
        waiting = [
            asyncio.create_task(journal.append_acked(result_of(execution, step)))
            for step in range(1, 4)
        ]
        if not landed:
            await stall.reached.wait()
            writer_task().cancel()
        seqs = await asyncio.gather(*waiting)
        assert seqs == sorted(set(seqs))
        assert await backend.steps_of(execution) == ["0", "1", "2", "3"]
        assert journal.health().restarts == 1
        assert journal.health().failed == 0


@pytest.mark.parametrize("blocks", [False, True])
async def test_ec_07_of_an_execution_whose_first_append_landed_only_the_rest_is_sent_again(
    url: str,
    *,
    blocks: bool,
) -> None:
    """The writer dies while it takes a rejected batch apart; blocking has no row to compare."""
    async with faulty(url, PATIENT) as (backend, journal):
        bad, good = await begun(journal), await begun(journal)
        await journal.append_acked(result_of(bad, 0))
        lane = journal.attach((await backend.real.heads([good.bytes]))[0])
        journal.append_buffered(result_of(bad, 0))
        journal.append_buffered(result_of(good, 0))
        backend.faults.extend([None, None, Landed(DEFECT)])
        if blocks:
            last = journal.writer.change_status(lane, Status.BLOCKED)
        else:
            last = journal.writer.submit(lane, result_of(good, 1))
        seq = await last
        seqs = await backend.real.stored_seqs(good.bytes, 0, 9)
        assert seq == (0 if blocks else seqs[-1])
        assert await backend.steps_of(good) == (["0"] if blocks else ["0", "1"])
        row = await backend.real.load(good.bytes)
        assert row is not None
        assert row.status == ("blocked" if blocks else "running")
        assert journal.health().restarts == 1
        with pytest.raises(JournalUnavailable, match="1 accepted entries") as raised:
            await journal.flush()
        assert isinstance(raised.value.__cause__, EntryRejected)


async def test_a_status_that_landed_with_the_rows_before_it_is_not_set_again(url: str) -> None:
    async with faulty(url, PATIENT) as (backend, journal):
        execution = await begun(journal)
        lane = journal.attach((await backend.real.heads([execution.bytes]))[0])
        journal.append_buffered(result_of(execution, 0))
        journal.writer.change_status(lane, Status.BLOCKED)
        backend.batches.clear()
        backend.faults.append(Landed(DEFECT))
        await journal.flush()
        assert len(backend.batches) == 1
        row = await backend.real.load(execution.bytes)
        assert row is not None
        assert (row.status, row.entry_count) == ("blocked", 2)


async def test_a_status_before_a_row_that_landed_has_landed(url: str) -> None:
    async with faulty(url, PATIENT) as (backend, journal):
        execution = await begun(journal)
        lane = journal.attach((await backend.real.heads([execution.bytes]))[0])
        blocked = journal.writer.change_status(lane, Status.BLOCKED)
        running = journal.writer.change_status(lane, Status.RUNNING)
        backend.batches.clear()
        backend.faults.append(Landed(DEFECT))
        assert await journal.append_acked(result_of(execution, 0)) == 2
        assert [await blocked, await running] == [0, 0]
        assert len(backend.batches) == 1


async def test_a_degraded_writer_that_is_killed_goes_on_probing(url: str) -> None:
    async with faulty(url, PATIENT) as (backend, journal):
        execution, other = await begun(journal), await begun(journal)
        backend.faults.append(FULL)
        backend.probe_faults.append(FULL)
        with pytest.raises(JournalUnavailable):
            await journal.append_acked(result_of(execution, 0))
        writer_task().cancel()
        await backend.healthy()
        await journal.append_acked(result_of(other, 0))
        assert journal.health().restarts == 1
        assert journal.health().state is Health.HEALTHY


async def test_a_writer_that_is_restarted_while_the_store_is_busy_waits_for_it(url: str) -> None:
    async with faulty(url, PATIENT) as (backend, journal):
        execution = await begun(journal)
        backend.faults.append(DEFECT)
        backend.head_faults.extend([BUSY] * 3)
        backend.seq_faults.extend([BUSY] * 4)
        assert await journal.append_acked(result_of(execution, 0)) == 2
        backend.numbered.clear()
        await backend.numbered.wait()
        assert journal.health().restarts == 1
        assert journal.health().state is Health.HEALTHY


async def test_a_writer_that_is_restarted_while_the_store_is_down_degrades_and_heals(
    url: str,
) -> None:
    async with faulty(url, PATIENT) as (backend, journal):
        execution = await begun(journal)
        backend.seq_faults.append(FULL)
        backend.probe_faults.append(FULL)
        writer_task().cancel()
        await backend.healthy()
        assert journal.health().restarts == 1
        await journal.append_acked(result_of(execution, 0))


async def test_a_writer_that_is_killed_while_it_has_nothing_to_do_is_not_given_up(
    url: str,
) -> None:
    async with faulty(url, PATIENT) as (backend, journal):
        execution = await begun(journal)
        for _ in range(4):
            backend.numbered.clear()
            writer_task().cancel()
            await backend.numbered.wait()
        await journal.append_acked(result_of(execution, 0))
        assert journal.health().restarts == 4


async def test_a_store_whose_probe_is_defective_is_given_up(url: str) -> None:
    async with faulty(url, PATIENT) as (backend, journal):
        execution = await begun(journal)
        backend.faults.append(FULL)
        backend.probe_faults.extend([DEFECT] * 3)
        with pytest.raises(JournalUnavailable, match="full"):
            await journal.append_acked(result_of(execution, 0))
        await asyncio.wait({task_named("durable-journal-supervisor")})
        assert journal.health().state is Health.DEAD


async def test_a_writer_whose_supervisor_is_cancelled_is_dead_and_says_so(url: str) -> None:
    async with faulty(url, PATIENT) as (backend, journal):
        execution = await begun(journal)
        stall = Stall()
        backend.faults.append(stall)
        waiting = asyncio.create_task(journal.append_acked(result_of(execution, 0)))
        await stall.reached.wait()
        task_named("durable-journal-supervisor").cancel()
        with pytest.raises(JournalUnavailable, match="cancelled"):
            await waiting
        assert journal.health().state is Health.DEAD
        assert not journal.append_buffered(result_of(execution, 1))
