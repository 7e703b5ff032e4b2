"""Cursors on real journals, and the questions that tests ask them."""

from __future__ import annotations

from durable_core.contracts import ExecutionBackend
from durable_core.ids import ExecutionId
from durable_core.journal import JournalWriterHandle
from durable_core.model.effects import EffectClass
from durable_core.replay.cursor import ReplayCursor
from durable_core.replay.lookup import Recorded, Wanted
from tests.journals import (
    FINGERPRINT,
    CountedJournal,
    begun,
    reader_of,
    result_of,
)


def wanted(step: int, effect: int = EffectClass.AT_LEAST_ONCE) -> Wanted:
    return Wanted(str(step), "charge", FINGERPRINT, effect, ())


async def cursor_of(
    backend: ExecutionBackend,
    execution_id: ExecutionId,
    segment: int = 100,
    journal: CountedJournal | None = None,
) -> ReplayCursor:
    return ReplayCursor(await reader_of(backend, execution_id, segment, journal=journal))


async def steps(journal: JournalWriterHandle, count: int) -> ExecutionId:
    """An execution whose steps each returned their own position."""
    execution_id = await begun(journal)
    for step in range(count):
        journal.append_buffered(result_of(execution_id, step, bytes((0, step))))
    await journal.flush()
    return execution_id


async def value(cursor: ReplayCursor, step: int) -> bytes:
    """The recorded payload of a step."""
    found = await cursor.look_up(wanted(step))
    assert isinstance(found, Recorded)
    return cursor.open_payload(found.row)
