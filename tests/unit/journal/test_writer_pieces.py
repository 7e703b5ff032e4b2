"""A batch that is too large for one transaction: in pieces, and in order all the same."""

from __future__ import annotations

import pytest

from durable_core.conformance.faults import FaultyBackend
from durable_core.errors import EntryRejected, JournalUnavailable
from durable_core.ids import ExecutionId
from durable_core.journal import JournalWriterHandle, WriterSettings, committing
from tests.faults import faulty
from tests.journals import begun, result_of

FULL = JournalUnavailable("the disk is full")
PATIENT = WriterSettings(flush_interval_ms=60_000)
LARGEST = 1000
PAYLOAD = bytes(400)
"""Two of them are one piece, sealed as they are, and three are not."""


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(committing, "_LARGEST", LARGEST)


async def two(journal: JournalWriterHandle) -> list[ExecutionId]:
    """Two executions, each with three results that wait in turns for one batch."""
    executions = [await begun(journal) for _ in range(2)]
    for step in range(3):
        for execution in executions:
            assert journal.append_buffered(result_of(execution, step, PAYLOAD))
    return executions


def pieces(backend: FaultyBackend) -> list[list[tuple[bytes, str]]]:
    """What was handed over behind the two starts."""
    return [[(row.execution_id, row.step_id) for row in one.rows] for one in backend.batches[2:]]


async def test_no_transaction_is_too_large(url: str) -> None:
    async with faulty(url, PATIENT) as (backend, journal):
        executions = await two(journal)
        await journal.flush()
        assert pieces(backend) == [
            [(execution.bytes, str(step)) for execution in executions] for step in range(3)
        ]
        for execution in executions:
            assert await backend.steps_of(execution) == ["0", "1", "2"]


async def test_an_entry_that_is_too_large_alone_is_a_piece_of_its_own(url: str) -> None:
    async with faulty(url, PATIENT) as (backend, journal):
        executions = await two(journal)
        last = result_of(executions[0], 3, bytes(2 * LARGEST))
        await journal.append_acked(last)
        assert pieces(backend)[3:] == [[(executions[0].bytes, "3")]]
        await journal.append_acked(result_of(executions[0], 4, bytes(2 * LARGEST)))
        assert await backend.steps_of(executions[0]) == ["0", "1", "2", "3", "4"]


async def test_what_follows_a_rejected_entry_is_lost_in_later_pieces_too(url: str) -> None:
    """INV-4; the other execution goes on."""
    async with faulty(url, PATIENT) as (backend, journal):
        executions = await two(journal)
        backend.faults.extend([EntryRejected("no"), EntryRejected("no")])
        with pytest.raises(JournalUnavailable, match="3 accepted entries"):
            await journal.flush()
        assert await backend.steps_of(executions[0]) == []
        assert await backend.steps_of(executions[1]) == ["0", "1", "2"]


async def test_a_store_that_fails_between_two_pieces_keeps_the_first(url: str) -> None:
    async with faulty(url, PATIENT) as (backend, journal):
        executions = await two(journal)
        backend.faults.extend([None, FULL])
        with pytest.raises(JournalUnavailable, match="4 accepted entries"):
            await journal.flush()
        for execution in executions:
            assert await backend.steps_of(execution) == ["0"]


async def test_a_writer_that_restarts_between_two_pieces_goes_on_with_the_second(url: str) -> None:
    async with faulty(url, PATIENT) as (backend, journal):
        executions = await two(journal)
        backend.faults.extend([None, RuntimeError("a defect")])
        await journal.flush()
        assert journal.health().restarts == 1
        for execution in executions:
            assert await backend.steps_of(execution) == ["0", "1", "2"]
