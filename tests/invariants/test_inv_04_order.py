"""INV-4: an acknowledged append commits with, or after, everything accepted before it."""

from __future__ import annotations

import asyncio
import random

import pytest

from durable_core.errors import EntryRejected, JournalUnavailable
from durable_core.ids import JournalSeq
from durable_core.journal import WriterSettings
from tests.faults import faulty
from tests.journals import begun, result_of

pytestmark = pytest.mark.dialects

PATIENT = WriterSettings(flush_interval_ms=60_000, batch_limit=7)


@pytest.mark.parametrize("seed", range(5))
async def test_at_each_acknowledgement_all_that_was_accepted_before_is_there(
    url: str,
    seed: int,
) -> None:
    chance = random.Random(seed)
    async with faulty(url, PATIENT) as (backend, journal):
        executions = [await begun(journal) for _ in range(5)]
        accepted: list[tuple[bytes, str]] = []
        waiting: list[tuple[int, asyncio.Task[JournalSeq]]] = []
        for step in range(150):
            execution = chance.choice(executions)
            entry = result_of(execution, step)
            if chance.random() < 0.8:
                assert journal.append_buffered(entry)
                accepted.append((execution.bytes, str(step)))
            else:
                task = asyncio.create_task(journal.append_acked(entry))
                await asyncio.sleep(0)
                accepted.append((execution.bytes, str(step)))
                waiting.append((len(accepted), task))
            if waiting and chance.random() < 0.3:
                before, task = waiting.pop(0)
                await task
                stored = {
                    (row.execution_id, row.step_id)
                    for one in executions
                    for row in await backend.real.journal.read_execution(one.bytes)
                }
                assert set(accepted[:before]) <= stored
        for _, task in waiting:
            await task


async def test_a_hole_stops_its_own_execution_and_no_other(url: str) -> None:
    async with faulty(url, PATIENT) as (backend, journal):
        holed, sound = await begun(journal), await begun(journal)
        await journal.append_acked(result_of(holed, 0))
        journal.append_buffered(result_of(holed, 1))
        journal.append_buffered(result_of(holed, 0))  # closes step 0 twice: never acceptable
        journal.append_buffered(result_of(holed, 2))
        journal.append_buffered(result_of(sound, 0))
        with pytest.raises(JournalUnavailable):
            await journal.flush()
        with pytest.raises(EntryRejected):
            await journal.append_acked(result_of(holed, 3))
        await journal.append_acked(result_of(sound, 1))
        stored = [
            [row.step_id for row in await backend.real.journal.read_execution(one.bytes)]
            for one in (holed, sound)
        ]
        assert stored == [["", "0", "1"], ["", "0", "1"]]
