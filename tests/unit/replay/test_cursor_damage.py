"""The cursor on damaged journals and a store in trouble: loud, to all who wait, every time."""

from __future__ import annotations

import asyncio

import pytest

from durable_core.contracts import ExecutionBackend
from durable_core.errors import (
    DecodeError,
    IntegrityError,
    JournalUnavailable,
)
from durable_core.journal import JournalWriterHandle
from durable_core.model.entries import (
    EntryKind,
)
from durable_core.replay.cursor import ReplayCursor
from tests.cursors import cursor_of, steps, value, wanted
from tests.journals import (
    CountedJournal,
    begun,
    change,
    opened,
    path_of,
    reader_of,
    wire_format,
    writing,
)


async def test_a_generation_without_its_start_is_damage(url: str) -> None:
    """Where nothing is stamped, the record alone may say so."""
    unkeyed = wire_format(None)
    async with opened(url) as backend, writing(backend, unkeyed) as journal:
        execution_id = await begun(journal)
        change(path_of(url), "UPDATE durable_executions SET generation = 1")
        cursor = ReplayCursor(await reader_of(backend, execution_id, wire=unkeyed))
        with pytest.raises(IntegrityError, match="no entry that starts its generation 1"):
            await cursor.open()


async def edited(
    backend: ExecutionBackend,
    journal: JournalWriterHandle,
    url: str,
    statement: str,
) -> ReplayCursor:
    """A cursor over six unstamped rows, one of which was edited."""
    execution_id = await steps(journal, 5)
    assert change(path_of(url), statement) == 1
    reader = await reader_of(backend, execution_id, 3, wire=wire_format(None))
    return ReplayCursor(reader)


async def test_ec_17_an_entry_of_an_unknown_kind_stops_the_replay(url: str) -> None:
    kind = max(EntryKind) + 1
    statement = f"UPDATE durable_journal SET entry_kind = {kind:d} WHERE entry_no = 4"
    async with opened(url) as backend, writing(backend, wire_format(None)) as journal:
        cursor = await edited(backend, journal, url, statement)
        await value(cursor, 0)
        with pytest.raises(DecodeError, match=f"entry 4 .* has kind {kind:d}.* upgrade"):
            await cursor.look_up(wanted(2))


async def test_ec_17_an_unknown_payload_version_is_refused(url: str) -> None:
    statement = "UPDATE durable_journal SET payload_version = 2 WHERE entry_no = 3"
    async with opened(url) as backend, writing(backend, wire_format(None)) as journal:
        cursor = await edited(backend, journal, url, statement)
        await value(cursor, 0)
        with pytest.raises(DecodeError, match="entry 3 has payload version 2"):
            await value(cursor, 1)


async def test_ec_17_a_truncated_blob_is_refused(url: str) -> None:
    statement = "UPDATE durable_journal SET payload = x'' WHERE entry_no = 3"
    async with opened(url) as backend, writing(backend, wire_format(None)) as journal:
        cursor = await edited(backend, journal, url, statement)
        with pytest.raises(DecodeError, match="entry 3 has no payload"):
            await value(cursor, 1)


async def test_ec_17_an_entry_behind_the_close_of_its_step_is_refused(url: str) -> None:
    statement = "UPDATE durable_journal SET entry_kind = 2, step_id = '0' WHERE entry_no = 3"
    async with opened(url) as backend, writing(backend, wire_format(None)) as journal:
        cursor = await edited(backend, journal, url, statement)
        with pytest.raises(DecodeError, match="entry 3 follows the entry that closed step 0"):
            await cursor.read_all()


async def test_a_damaged_journal_never_says_that_a_step_is_fresh(url: str) -> None:
    """Not even to somebody who asks again, or asks for the rows behind the damage."""
    statement = "UPDATE durable_journal SET entry_kind = 9 WHERE entry_no = 5"
    async with opened(url) as backend, writing(backend, wire_format(None)) as journal:
        cursor = await edited(backend, journal, url, statement)
        for step in (4, 9, 9):
            with pytest.raises(DecodeError, match="entry 5"):
                await cursor.look_up(wanted(step))
        assert not cursor.exhausted
        assert cursor.replaying
        with pytest.raises(DecodeError, match="entry 5"):
            await cursor.finish()


async def test_inv_16_a_tail_that_does_not_fit_leaves_nothing_fresh(url: str) -> None:
    async with opened(url) as backend, writing(backend) as journal:
        execution_id = await steps(journal, 3)
        reader = await reader_of(backend, execution_id)
        reader.row = reader.row._replace(head_hmac=b"h" * 32)
        cursor = ReplayCursor(reader)
        for _ in range(2):
            with pytest.raises(IntegrityError, match="last entry"):
                await cursor.look_up(wanted(9))


async def test_trouble_of_the_store_reaches_all_who_wait_and_can_be_tried_again(url: str) -> None:
    async with opened(url) as other, writing(other) as journal:
        execution_id = await steps(journal, 3)
        async with opened(url) as backend:
            counted = CountedJournal(backend.journal)
            cursor = await cursor_of(other, execution_id, 2, counted)
            await value(cursor, 0)
        results = await asyncio.gather(
            *(cursor.look_up(wanted(step)) for step in (1, 2, 7)),
            return_exceptions=True,
        )
        assert [type(result) for result in results] == [JournalUnavailable] * 3
        assert len(counted.reads) == 2
        counted.journal = other.journal
        assert await value(cursor, 2) == b"\x00\x02"
