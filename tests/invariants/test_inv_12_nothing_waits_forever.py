"""INV-12: nothing waits for ever; a dead writer fails its callers, a crashed one is restarted."""

from __future__ import annotations

import asyncio

import pytest
from attrs import evolve

from durable_core.conformance.faults import Stall
from durable_core.errors import CommitOutcomeUnknown, JournalUnavailable
from durable_core.journal import Health, WriterSettings
from tests.faults import faulty
from tests.holding import turns
from tests.journals import begun, result_of
from tests.passing import Passing

LONG_S = 600
LONG = WriterSettings(ack_timeout_ms=LONG_S * 1000)


async def test_an_acknowledgement_that_does_not_come_is_an_unknown_outcome(
    url: str, passing: Passing
) -> None:
    async with faulty(url, LONG) as (backend, journal):
        execution = await begun(journal)
        stall = Stall()
        backend.faults.append(stall)
        append = asyncio.create_task(journal.append_acked(result_of(execution, 0)))
        await stall.reached.wait()
        passing(LONG_S)
        with pytest.raises(CommitOutcomeUnknown) as raised:
            await append
        assert isinstance(raised.value, JournalUnavailable)
        assert "may still be committed" in str(raised.value)
        stall.gate.set()
        await journal.flush()
        assert len(await backend.real.journal.read_execution(execution.bytes)) == 2


async def test_a_crashed_writer_goes_on_from_the_largest_seq(url: str) -> None:
    async with faulty(url) as (backend, journal):
        execution = await begun(journal)
        backend.faults.append(RuntimeError("a defect"))
        seqs = await asyncio.gather(
            *[journal.append_acked(result_of(execution, step)) for step in range(5)],
        )
        assert seqs == [2, 3, 4, 5, 6]
        assert journal.health().restarts == 1
        assert journal.health().max_seq == 6


async def test_everybody_who_waits_for_a_dead_writer_is_told(url: str) -> None:
    settings = WriterSettings(acked_capacity=2)
    async with faulty(url, settings) as (backend, journal):
        execution = await begun(journal)
        backend.faults.extend([RuntimeError("a defect")] * 3)
        appends = [journal.append_acked(result_of(execution, step)) for step in range(6)]
        outcomes = await asyncio.gather(*appends, journal.flush(), return_exceptions=True)
        under_way, refused = [CommitOutcomeUnknown] * 2, [JournalUnavailable] * 4
        assert [type(outcome) for outcome in outcomes] == [*under_way, *refused, JournalUnavailable]
        assert journal.health().state is Health.DEAD


async def test_a_flush_of_a_store_that_does_not_answer_is_an_unknown_outcome(
    url: str, passing: Passing
) -> None:
    async with faulty(url, LONG) as (backend, journal):
        execution = await begun(journal)
        stall = Stall()
        backend.faults.append(stall)
        assert journal.append_buffered(result_of(execution, 0))
        flushing = asyncio.create_task(journal.flush())
        await stall.reached.wait()
        passing(LONG_S)
        with pytest.raises(CommitOutcomeUnknown, match="600000 ms"):
            await flushing
        stall.gate.set()
        await journal.flush()
        assert await backend.steps_of(execution) == ["0"]
        assert journal.health().failed == 0


async def test_a_flush_waits_for_a_long_queue_that_moves(url: str, passing: Passing) -> None:
    """Longer than the ack timeout as a whole, but no single answer takes that long."""
    settings = evolve(LONG, batch_limit=1, flush_interval_ms=60_000)
    async with faulty(url, settings) as (backend, journal):
        execution = await begun(journal)
        stalls = [Stall() for _ in range(5)]
        backend.faults.extend(stalls)
        for step in range(5):
            journal.append_buffered(result_of(execution, step))
        flushing = asyncio.create_task(journal.flush())
        for stall in stalls:
            await stall.reached.wait()
            passing(LONG_S / 2)
            await turns()  # the flush, which looks at times, sees that half of its limit is over
            stall.gate.set()
        await flushing
        assert await backend.steps_of(execution) == ["0", "1", "2", "3", "4"]


async def test_a_barrier_waits_until_the_outcome_is_known(url: str, passing: Passing) -> None:
    """A workflow does not go on before, and is not given up either."""
    async with faulty(url, LONG) as (backend, journal):
        execution = await begun(journal)
        lane = journal.attach((await backend.real.heads([execution.bytes]))[0])
        stall = Stall()
        backend.faults.append(stall)
        assert journal.append_buffered(result_of(execution, 0))
        barrier = asyncio.create_task(journal.writer.barrier(lane))
        bounded = journal.append_bounded(lane, result_of(execution, 1))
        await stall.reached.wait()
        passing(LONG_S)
        with pytest.raises(CommitOutcomeUnknown):
            await bounded
        assert not barrier.done()
        stall.gate.set()
        await barrier
        assert await backend.steps_of(execution) == ["0", "1"]


async def test_what_waits_behind_a_commit_of_unknown_outcome_was_not_written(url: str) -> None:
    """Closing tells the two apart: what was under way may land, what waited does not."""
    settings = WriterSettings(close_timeout_ms=20)
    async with faulty(url, settings) as (backend, journal):
        execution, other = await begun(journal), await begun(journal)
        stall = Stall()
        backend.faults.append(stall)
        first = asyncio.create_task(journal.append_acked(result_of(execution, 0)))
        await stall.reached.wait()
        second = asyncio.create_task(journal.append_acked(result_of(other, 0)))
        await asyncio.sleep(0)
        await journal.close()
        outcomes = await asyncio.gather(first, second, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [CommitOutcomeUnknown, JournalUnavailable]
        stall.gate.set()
