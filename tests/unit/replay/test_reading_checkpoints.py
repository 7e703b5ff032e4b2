"""A reader takes a checkpoint for what it stands for: replay from it is replay from the rows."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from durable_core.contracts import ExecutionBackend
from durable_core.errors import DecodeError, IntegrityError
from durable_core.ids import ExecutionId
from durable_core.journal import JournalWriterHandle
from durable_core.model.effects import EffectClass
from durable_core.model.entries import FoldedRow, JournalRow
from durable_core.replay.cursor import ReplayCursor
from durable_core.replay.lookup import Recorded
from durable_core.replay.reader import ChainReader
from durable_core.wire.envelope import WireFormat
from tests.cursors import cursor_of, steps, value, wanted
from tests.folds import fold_stored
from tests.holding import held
from tests.journals import (
    CountedJournal,
    begun,
    change,
    failure_of,
    intent_of,
    opened,
    path_of,
    reader_of,
    result_of,
    sqlite_url,
    wire_format,
    writing,
)

GUARDED = EffectClass.EXACTLY_ONCE_GUARDED
KINDS = ("result", "failure", "guarded")
folds = st.tuples(st.integers(1, 60), st.sampled_from([120, 400, 1 << 20]))


async def write(journal: JournalWriterHandle, kinds: Sequence[str]) -> ExecutionId:
    execution_id = await begun(journal)
    for step, kind in enumerate(kinds):
        if kind == "failure":
            journal.append_buffered(failure_of(execution_id, step))
        elif kind == "guarded":
            journal.append_buffered(intent_of(execution_id, step))
            journal.append_buffered(result_of(execution_id, step, effect=GUARDED))
        else:
            journal.append_buffered(result_of(execution_id, step, b"\x00" + bytes([step])))
    await journal.flush()
    return execution_id


async def everything(reader: ChainReader) -> list[JournalRow]:
    rows: list[JournalRow] = []
    await reader.each(rows.append)
    return rows


def plain(reader: ChainReader, rows: list[JournalRow]) -> list[tuple[JournalRow, bytes | None]]:
    """The rows, each with its payload opened."""
    return [
        (
            row._replace(payload=None),
            None if row.payload is None else reader.envelope.open(row),
        )
        for row in rows
    ]


@pytest.mark.parametrize("keyed", [True, False])
@settings(max_examples=15)
@given(
    kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=30),
    several=st.lists(folds, min_size=1, max_size=3),
    segment=st.integers(1, 12),
)
def test_ec_38_replay_from_checkpoints_equals_replay_from_the_rows(
    keyed: bool,  # noqa: FBT001
    kinds: Sequence[str],
    several: Sequence[tuple[int, int]],
    segment: int,
) -> None:
    wire = wire_format() if keyed else wire_format(None)

    async def both(url: str) -> None:
        async with opened(url) as backend, writing(backend, wire) as journal:
            execution_id = await write(journal, kinds)
            reader = await reader_of(backend, execution_id, segment, wire=wire, complete=True)
            rows = plain(reader, await everything(reader))
            for upto, part in several:
                upto = min(upto, len(rows))  # noqa: PLW2901 - of this execution
                await fold_stored(backend, execution_id, upto=upto, part=part, wire=wire)
                reader = await reader_of(backend, execution_id, segment, wire=wire, complete=True)
                assert plain(reader, await everything(reader)) == rows
            stored = await backend.journal.read_execution(execution_id.bytes)
            guarded = [row for row in stored if row.effect_class == GUARDED]
            assert len(guarded) == 2 * kinds.count("guarded"), "they are never folded"
            limit = max(part for _, part in several) + 42
            assert all(len(row.payload or b"") <= limit for row in stored)

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(both(sqlite_url(Path(folder) / "journal.db")))


@pytest.mark.parametrize("segment", [1, 3, 100])
async def test_ec_38_each_step_gets_its_own_result(url: str, segment: int) -> None:
    async with opened(url) as backend, writing(backend) as journal:
        execution_id = await steps(journal, 9)
        assert await fold_stored(backend, execution_id, part=300) > 1
        cursor = await cursor_of(backend, execution_id, segment)
        assert [await value(cursor, step) for step in range(9)] == [
            b"\x00" + bytes([step]) for step in range(9)
        ]
        await cursor.finish()
        assert cursor.folded == 9


async def test_ec_13_nothing_is_answered_while_the_end_behind_a_checkpoint_is_read(
    url: str,
) -> None:
    """All entries are verified by then, and none is taken in: no step is fresh, or open."""
    async with opened(url) as backend, writing(backend) as journal:
        execution_id = await steps(journal, 3)
        assert await fold_stored(backend, execution_id) == 1
        cursor = await cursor_of(backend, execution_id, 1)
        with held(backend.journal, "read_execution_range", skip=2) as reads:
            looking = asyncio.create_task(cursor.look_up(wanted(0)))
            await reads.reached.wait()
            assert len(reads.calls) == 3, "the last one looks for what must not be there"
            assert [cursor.answer(wanted(step)) for step in range(3)] == [None] * 3
            reads.gate.set()
            assert isinstance(await looking, Recorded)
        assert [await value(cursor, step) for step in (1, 2)] == [b"\x00\x01", b"\x00\x02"]


async def test_memory_is_that_of_a_segment_and_one_checkpoint(url: str) -> None:
    async with opened(url) as backend, writing(backend) as journal:
        execution_id = await steps(journal, 30)
        parts = await fold_stored(backend, execution_id, part=900)
        assert parts > 3
        counted = CountedJournal(backend.journal)
        reader = await reader_of(backend, execution_id, 2, journal=counted)
        longest = 0
        while not reader.exhausted:
            longest = max(longest, len(await reader.segment()))
        assert longest < 10, "one part at a time"
        assert all(limit <= 3 for _, limit in counted.reads)


async def test_checkpoints_are_handed_out_to_who_asks_for_them(url: str) -> None:
    async with opened(url) as backend, writing(backend) as journal:
        execution_id = await steps(journal, 3)
        await fold_stored(backend, execution_id)
        usual = await reader_of(backend, execution_id)
        reader = ChainReader(
            backend.journal, usual.row, usual.envelope, usual._tracing, checkpoints=True
        )
        rows = await everything(reader)
        assert [(row.entry_no, isinstance(row, FoldedRow)) for row in rows] == [
            *((1, False), (4, False)),
            *((2, True), (3, True), (4, True)),
        ]


async def half_read(backend: ExecutionBackend, execution_id: ExecutionId) -> ChainReader:
    """A reader that has read the first three entries."""
    reader = await reader_of(backend, execution_id, 3)
    assert [row.entry_no for row in await reader.segment()] == [1, 2, 3]
    return reader


@pytest.mark.parametrize("wire", [wire_format(), wire_format(None)], ids=["keyed", "unkeyed"])
async def test_what_is_folded_while_it_is_read_comes_once(url: str, wire: WireFormat) -> None:
    async with opened(url) as backend, writing(backend, wire) as journal:
        execution_id = await steps(journal, 7)
        reader = await reader_of(backend, execution_id, 3, wire=wire)
        await reader.segment()
        await fold_stored(backend, execution_id, wire=wire)
        assert [row.entry_no for row in await everything(reader)] == [4, 5, 6, 7, 8]


async def test_what_was_appended_and_folded_since_is_left_alone(url: str) -> None:
    async with opened(url) as backend, writing(backend) as journal:
        execution_id = await steps(journal, 5)
        reader = await half_read(backend, execution_id)
        complete = await reader_of(backend, execution_id, 3, complete=True)
        end = await reader_of(backend, execution_id, 6)
        await journal.append_acked(result_of(execution_id, 5))
        await journal.append_acked(result_of(execution_id, 6))
        await fold_stored(backend, execution_id)
        assert [row.entry_no for row in await everything(reader)] == [4, 5, 6]
        assert [row.entry_no for row in await everything(end)] == list(range(1, 7))
        with pytest.raises(IntegrityError, match="beyond its last one"):
            await everything(complete)


async def test_a_checkpoint_beyond_the_end_continues_it(url: str) -> None:
    async with opened(url) as backend, writing(backend) as journal:
        execution_id = await begun(journal)
        await journal.append_acked(result_of(execution_id, 0, effect=GUARDED))
        end = await reader_of(backend, execution_id, 9)
        await journal.append_acked(result_of(execution_id, 1))
        await fold_stored(backend, execution_id)
        assert [row.entry_no for row in await everything(end)] == [1, 2]


async def folded(url: str, *, keyed: bool = True) -> ExecutionId:
    """1: the start, 2 to 4: a checkpoint at 4, 5: guarded, 6 to 7: a checkpoint at 7."""
    wire = wire_format() if keyed else wire_format(None)
    async with opened(url) as backend, writing(backend, wire) as journal:
        execution_id = await begun(journal)
        for step in range(3):
            journal.append_buffered(result_of(execution_id, step))
        journal.append_buffered(result_of(execution_id, 3, effect=GUARDED))
        for step in (4, 5):
            journal.append_buffered(result_of(execution_id, step))
        await journal.flush()
        assert await fold_stored(backend, execution_id, wire=wire) == 2
    return execution_id


FIRST = "entry_kind = 9 AND entry_no = 4"


@pytest.mark.parametrize(
    "edit",
    [
        f"DELETE FROM durable_journal WHERE {FIRST}",
        f"UPDATE durable_journal SET entry_no = 3 WHERE {FIRST}",
        f"UPDATE durable_journal SET entry_no = 40 WHERE {FIRST}",
        f"UPDATE durable_journal SET detail = x'00' WHERE {FIRST}",
        f"UPDATE durable_journal SET generation = 1 WHERE {FIRST}",
        f"UPDATE durable_journal SET payload = zeroblob(99) WHERE {FIRST}",
        f"UPDATE durable_journal SET entry_kind = 3 WHERE {FIRST}",
        f"UPDATE durable_journal SET hmac = zeroblob(32) WHERE {FIRST}",
        f"UPDATE durable_journal SET created_at = created_at + 1 WHERE {FIRST}",
        (
            "UPDATE durable_journal SET detail = (SELECT detail FROM durable_journal "
            f"WHERE entry_no = 7) WHERE {FIRST}"
        ),
        "DELETE FROM durable_journal WHERE entry_no = 7",
        "DELETE FROM durable_journal WHERE entry_no = 5",
    ],
)
@pytest.mark.parametrize("segment", [1, 100])
async def test_inv_16_a_checkpoint_that_was_touched_is_found(
    url: str, edit: str, segment: int
) -> None:
    execution_id = await folded(url)
    assert change(path_of(url), edit) == 1
    async with opened(url) as backend:
        with pytest.raises(IntegrityError):
            await everything(await reader_of(backend, execution_id, segment))


async def test_inv_16_an_older_checkpoint_in_the_place_of_rows_is_found(url: str) -> None:
    """Authentic, and once stored in that place: the chain goes on from another hmac."""
    async with opened(url) as backend, writing(backend) as journal:
        execution_id = await steps(journal, 4)
        reader = await half_read(backend, execution_id)
        await fold_stored(backend, execution_id)
    path = path_of(url)
    reader._head = b"x" * 32
    async with opened(url) as backend:
        reader._journal = backend.journal
        with pytest.raises(IntegrityError, match="does not hold what stood in its place"):
            await everything(reader)
    assert path.exists()


async def test_a_checkpoint_that_leads_back_is_no_progress(url: str) -> None:
    execution_id = await folded(url)
    async with opened(url) as backend:
        reader = await reader_of(backend, execution_id, 100)
        stored = await backend.journal.read_execution(execution_id.bytes)
        await reader.segment()
        reader._unchecked.appendleft(stored[1])
        reader._unchecked.appendleft(stored[1])
        await reader.segment()
        with pytest.raises(IntegrityError, match=r"entry 5 .* is missing"):
            await reader.segment()


@pytest.mark.parametrize("edit", ["detail = x'00'", "payload = x'0002'"])
async def test_bad_input_a_checkpoint_that_does_not_decode(url: str, edit: str) -> None:
    """Without a key nobody but the format finds it: one clear error, and nothing is lost."""
    execution_id = await folded(url, keyed=False)
    assert change(path_of(url), f"UPDATE durable_journal SET {edit} WHERE {FIRST}") == 1
    async with opened(url) as backend:
        cursor = ReplayCursor(await reader_of(backend, execution_id, wire=wire_format(None)))
        for _ in range(2):
            with pytest.raises(DecodeError, match="the checkpoint in entry 4"):
                await cursor.read_all()
        stored = await backend.journal.read_execution(execution_id.bytes)
        assert [row.entry_no for row in stored] == [1, 4, 5, 7]


async def test_a_checkpoint_of_another_generation_is_damage(url: str) -> None:
    execution_id = await folded(url, keyed=False)
    assert change(path_of(url), f"UPDATE durable_journal SET generation = 1 WHERE {FIRST}") == 1
    async with opened(url) as backend:
        with pytest.raises(IntegrityError, match="out of its generation"):
            await everything(await reader_of(backend, execution_id, wire=wire_format(None)))
