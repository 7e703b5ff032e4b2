"""INV-12: nothing waits for ever; a dead writer fails its callers, a crashed one is restarted."""

from __future__ import annotations

import asyncio

import pytest

from durable_core.errors import CommitOutcomeUnknown, JournalUnavailable
from durable_core.journal import Health, WriterSettings
from tests.faults import Stall, faulty
from tests.journals import begun, result_of

QUICK = WriterSettings(ack_timeout_ms=30)


async def test_an_acknowledgement_that_does_not_come_is_an_unknown_outcome(url: str) -> None:
    async with faulty(url, QUICK) as (backend, journal):
        execution = await begun(journal)
        stall = Stall()
        backend.faults.append(stall)
        with pytest.raises(CommitOutcomeUnknown) as raised:
            await journal.append_acked(result_of(execution, 0))
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
        assert [type(outcome) for outcome in outcomes] == [JournalUnavailable] * 7
        assert journal.health().state is Health.DEAD
