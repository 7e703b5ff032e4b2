"""The reader: segments that arrive whole, verified, and an end that is the one that was written."""

from __future__ import annotations

from pathlib import Path

import pytest

from durable_core.errors import DurableError, IntegrityError
from durable_core.ids import ExecutionId
from durable_core.model.entries import ExecutionFinished, ExecutionStarted, JournalRow
from durable_core.model.execution import ExecutionRow, Status
from durable_core.replay.reader import ChainReader
from durable_core.telemetry import Tracing
from durable_core.wire.envelope import WireFormat
from tests.journals import (
    CountedJournal,
    begun,
    change,
    opened,
    path_of,
    query,
    reader_of,
    result_of,
    wire_format,
    writing,
)

STEPS = 9
"""With the entry that starts the execution it has ten."""


async def written(url: str, wire: WireFormat | None = None, *, sealed: bool = True) -> ExecutionId:
    """An execution of ten entries, in a journal that is closed again."""
    async with opened(url) as backend, writing(backend, wire) as journal:
        execution_id = await begun(journal, sealed=sealed)
        for step in range(STEPS):
            journal.append_buffered(result_of(execution_id, step))
        await journal.flush()
    return execution_id


async def everything(reader: ChainReader) -> list[JournalRow]:
    rows: list[JournalRow] = []
    await reader.each(rows.append)
    return rows


async def read(
    url: str,
    execution_id: ExecutionId,
    segment: int = 4,
    *,
    wire: WireFormat | None = None,
    complete: bool = False,
) -> list[JournalRow]:
    async with opened(url) as backend:
        reader = await reader_of(backend, execution_id, segment, wire=wire, complete=complete)
        return await everything(reader)


@pytest.mark.parametrize("segment", [1, 3, 4, 5, 9, 10, 11, 100])
async def test_every_row_arrives_once_and_in_order(url: str, segment: int) -> None:
    execution_id = await written(url)
    rows = await read(url, execution_id, segment)
    assert [row.entry_no for row in rows] == list(range(1, STEPS + 2))
    assert [row.step_id for row in rows] == ["", *map(str, range(STEPS))]


async def test_a_segment_is_read_once_and_no_longer_than_asked(url: str) -> None:
    """The last one asks for one row more, to see that nothing follows."""
    execution_id = await written(url)
    async with opened(url) as backend:
        journal = CountedJournal(backend.journal)
        reader = await reader_of(backend, execution_id, 4, journal=journal)
        sizes = []
        while not reader.exhausted:
            sizes.append(len(await reader.segment()))
        assert sizes == [4, 4, 2]
        assert journal.reads == [(0, 4), (4, 4), (8, 3)]
        assert await reader.segment() == []
        assert len(journal.reads) == 3


async def test_what_is_committed_later_is_left_alone(url: str) -> None:
    async with opened(url) as backend, writing(backend) as journal:
        execution_id = await begun(journal)
        await journal.append_acked(result_of(execution_id, 0))
        reader = await reader_of(backend, execution_id, 1)
        await journal.append_acked(result_of(execution_id, 1))
        await journal.append_acked(result_of(execution_id, 2))
        assert [row.step_id for row in await everything(reader)] == ["", "0"]


async def test_nothing_can_be_committed_later_to_what_is_complete(url: str) -> None:
    async with opened(url) as backend, writing(backend) as journal:
        execution_id = await begun(journal)
        reader = await reader_of(backend, execution_id, complete=True)
        await journal.append_acked(result_of(execution_id, 1))
        with pytest.raises(IntegrityError, match="holds an entry beyond its last one"):
            await reader.segment()


async def test_generations_follow_each_other(url: str) -> None:
    async with opened(url) as backend, writing(backend) as journal:
        execution_id = await begun(journal)
        failed = ExecutionFinished(execution_id, 0, Status.FAILED, b"\x01")
        await journal.append_acked(failed)
        await journal.append_acked(ExecutionStarted(execution_id, 1, b"\x80"))
        await journal.append_acked(result_of(execution_id, 0, generation=1))
    rows = await read(url, execution_id)
    assert [row.generation for row in rows] == [0, 0, 1, 1]


@pytest.mark.parametrize("generation", [1, 7])
async def test_an_entry_outside_of_its_generation_is_damage(url: str, generation: int) -> None:
    """Found by its order, also where there is no stamp to break."""
    unkeyed = wire_format(None)
    execution_id = await written(url, unkeyed)
    statement = "UPDATE durable_journal SET generation = ? WHERE entry_no = 5"
    assert change(path_of(url), statement, generation) == 1
    with pytest.raises(IntegrityError, match=r"entry 5 .* is out of its generation"):
        await read(url, execution_id, wire=unkeyed)


FORGED = """
    INSERT INTO durable_journal
    SELECT NULL, execution_id, ?, generation, 'forged', entry_kind, fingerprint, idem_key,
           effect_class, detail, payload, payload_version, hmac, created_at
    FROM durable_journal WHERE entry_no = 6
"""


def delete(path: Path, entry_no: int) -> None:
    assert change(path, "DELETE FROM durable_journal WHERE entry_no = ?", entry_no) == 1


def insert(path: Path, entry_no: int) -> None:
    """Make room where there is a row, then put a copy of another there."""
    for number in range(STEPS + 1, entry_no - 1, -1):
        moved = "UPDATE durable_journal SET entry_no = entry_no + 1 WHERE entry_no = ?"
        assert change(path, moved, number) == 1
    assert change(path, FORGED, entry_no) == 1


@pytest.mark.parametrize("segment", [1, 4, 5, 100])
@pytest.mark.parametrize("entry_no", range(1, STEPS + 2))
async def test_ec_26_a_deleted_row_is_missed(url: str, entry_no: int, segment: int) -> None:
    execution_id = await written(url)
    delete(path_of(url), entry_no)
    with pytest.raises(IntegrityError, match=f"entry {entry_no} .* is missing"):
        await read(url, execution_id, segment)


@pytest.mark.parametrize("entry_no", [1, 4, 5, 10])
async def test_ec_26_a_deleted_row_is_missed_where_nothing_is_stamped(
    url: str,
    entry_no: int,
) -> None:
    unkeyed = wire_format(None)
    execution_id = await written(url, unkeyed)
    delete(path_of(url), entry_no)
    with pytest.raises(IntegrityError, match=f"entry {entry_no} .* is missing"):
        await read(url, execution_id, wire=unkeyed)


@pytest.mark.parametrize("entry_no", [1, 2, 5, 10])
async def test_ec_26_an_inserted_row_is_found(url: str, entry_no: int) -> None:
    execution_id = await written(url)
    insert(path_of(url), entry_no)
    with pytest.raises(IntegrityError, match=f"entry {entry_no} .* does not continue the chain"):
        await read(url, execution_id)


@pytest.mark.parametrize(("entry_no", "reason"), [(11, "does not continue"), (12, "missing")])
async def test_ec_26_a_row_inserted_behind_the_last_one_is_found(
    url: str,
    entry_no: int,
    reason: str,
) -> None:
    execution_id = await written(url)
    assert change(path_of(url), FORGED, entry_no) == 1
    with pytest.raises(IntegrityError, match=reason):
        await read(url, execution_id)
    with pytest.raises(IntegrityError, match="beyond its last one"):
        await read(url, execution_id, complete=True)


async def test_ec_26_swapped_rows_are_found(url: str) -> None:
    execution_id = await written(url)
    path = path_of(url)
    change(path, "UPDATE durable_journal SET entry_no = 99 WHERE entry_no = 3")
    change(path, "UPDATE durable_journal SET entry_no = 3 WHERE entry_no = 7")
    change(path, "UPDATE durable_journal SET entry_no = 7 WHERE entry_no = 99")
    assert query(path, "SELECT count(*), max(entry_no) FROM durable_journal") == [(10, 10)]
    with pytest.raises(IntegrityError, match=r"entry 3 .* does not continue the chain"):
        await read(url, execution_id)


async def test_ec_26_a_record_that_forgot_its_tail_is_found(url: str) -> None:
    """The rows are gone and the count with them; only the anchor still knows."""
    execution_id = await written(url)
    delete(path_of(url), 10)
    assert change(path_of(url), "UPDATE durable_executions SET entry_count = 9") == 1
    with pytest.raises(IntegrityError, match="does not match its anchor"):
        await read(url, execution_id)


async def test_the_last_row_must_be_the_one_that_the_anchor_names(url: str) -> None:
    """The reader holds the end against the record, whatever its caller has checked."""
    execution_id = await written(url)
    async with opened(url) as backend:
        good = await reader_of(backend, execution_id)
        row: ExecutionRow = good.row._replace(head_hmac=b"h" * 32)
        reader = ChainReader(backend.journal, row, good.envelope, Tracing())
        with pytest.raises(IntegrityError, match=r"last entry .* is not the one its anchor names"):
            await reader.segment()


@pytest.mark.parametrize("sealed", [True, False])
async def test_one_changed_bit_of_a_payload_is_found_before_it_is_opened(
    url: str,
    *,
    sealed: bool,
) -> None:
    execution_id = await written(url, sealed=sealed)
    ((payload,),) = query(path_of(url), "SELECT payload FROM durable_journal WHERE entry_no = 5")
    flipped = payload[:-1] + bytes([payload[-1] ^ 1])
    change(path_of(url), "UPDATE durable_journal SET payload = ? WHERE entry_no = 5", flipped)
    with pytest.raises(IntegrityError, match=r"entry 5 .* does not continue the chain"):
        await read(url, execution_id)


async def test_trouble_of_the_store_goes_to_the_caller_and_can_be_tried_again(url: str) -> None:
    execution_id = await written(url)
    async with opened(url) as other:
        journal = CountedJournal(other.journal)
        async with opened(url) as backend:
            reader = await reader_of(backend, execution_id, 4, journal=journal)
            assert len(await reader.segment()) == 4
        journal.journal = backend.journal  # closed by now
        with pytest.raises(DurableError):
            await reader.segment()
        journal.journal = other.journal
        assert [row.entry_no for row in await everything(reader)] == [5, 6, 7, 8, 9, 10]
