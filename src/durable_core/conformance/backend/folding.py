"""`Journal.fold`: checkpoints in the place of entries, all of it or nothing (EC-38)."""

from __future__ import annotations

from typing import Any

import pytest

from durable_core.conformance.harness import BackendContract
from durable_core.conformance.rows import Rows
from durable_core.contracts import CommitBatch, ExecutionBackend
from durable_core.errors import EntryRejected
from durable_core.model.entries import JournalRow

__all__ = ["FoldContract"]

ONE = 1


class FoldContract(BackendContract):
    """A fold takes only what it names, and only from the owner that named it."""

    async def test_ec_38_a_checkpoint_stands_in_the_place_of_its_range(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        entries = await _grown(backend, rows, 8)
        fold = rows.fold(entries[2:5])
        assert await backend.journal.fold(fold)
        left = await backend.journal.read_execution(rows.execution_id(ONE))
        assert left == [*entries[:2], fold.ranges[0].checkpoint, *entries[5:]]
        page = await backend.journal.read_execution_range(rows.execution_id(ONE), 2, 2)
        assert page == left[2:4]
        assert len(await backend.stored_seqs(rows.execution_id(ONE), 0, 99)) == len(left)

    async def test_ec_38_several_ranges_go_at_once(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        entries = await _grown(backend, rows, 9)
        fold = rows.fold(entries[1:2], entries[3:6], entries[8:9])
        assert await backend.journal.fold(fold)
        left = await backend.journal.read_execution(rows.execution_id(ONE))
        assert [row.entry_no for row in left] == [1, 2, 3, 6, 7, 8, 9]
        assert [row for row in left if row.entry_no in {2, 6, 9}] == [
            one.checkpoint for one in fold.ranges
        ]

    async def test_ec_38_the_execution_and_what_commits_meanwhile_stay(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        entries = await _grown(backend, rows, 4)
        fold = rows.fold(entries[1:3])
        await backend.journal.append(rows.advance(5, ONE))
        before = await backend.load(rows.execution_id(ONE))
        assert await backend.journal.fold(fold)
        assert await backend.load(rows.execution_id(ONE)) == before
        left = await backend.journal.read_execution(rows.execution_id(ONE))
        assert [row.entry_no for row in left] == [1, 3, 4, 5]
        await backend.journal.append(rows.advance(6, ONE))
        assert len(await backend.journal.read_execution(rows.execution_id(ONE))) == 5

    async def test_a_checkpoint_can_be_folded_again(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        entries = await _grown(backend, rows, 6)
        first = rows.fold(entries[1:3])
        assert await backend.journal.fold(first)
        again = rows.fold([first.ranges[0].checkpoint, *entries[3:5]])
        assert await backend.journal.fold(again)
        left = await backend.journal.read_execution(rows.execution_id(ONE))
        assert [row.entry_no for row in left] == [1, 5, 6]
        assert not await backend.journal.fold(first), "what it names is gone"
        assert await backend.journal.read_execution(rows.execution_id(ONE)) == left

    async def test_inv_15_the_fold_of_a_stale_owner_is_refused(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        entries = await _grown(backend, rows, 4)
        row = await backend.load(rows.execution_id(ONE))
        assert row is not None
        assert await backend.claim(row, "owner-2", 5000)
        assert not await backend.journal.fold(rows.fold(entries[1:3]))
        assert await backend.journal.read_execution(rows.execution_id(ONE)) == entries
        assert await backend.journal.fold(rows.fold(entries[1:3], owner_epoch=2))

    async def test_what_does_not_run_is_not_folded(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        entries = await _grown(backend, rows, 4)
        await backend.journal.append(rows.advance(5, ONE, status="completed", finalized_at=9))
        assert not await backend.journal.fold(rows.fold(entries[1:3]))
        assert len(await backend.journal.read_execution(rows.execution_id(ONE))) == 5

    async def test_an_execution_that_is_not_there_has_nothing_to_fold(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        assert not await backend.journal.fold(rows.fold([rows.entry(ONE, 2)]))
        assert await backend.strays() == []

    async def test_entries_that_are_not_as_named_are_not_folded(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        """Another hmac, one more than there is, and one that stands between: nothing is written."""
        entries = await _grown(backend, rows, 7)
        other = entries[4]._replace(hmac=b"x" * 32)
        for named in (
            [entries[3], other, entries[5]],
            [*entries[5:], rows.entry(ONE, 8)],
            [entries[3], entries[5]],
        ):
            assert not await backend.journal.fold(rows.fold(entries[1:2], named))
            assert await backend.journal.read_execution(rows.execution_id(ONE)) == entries

    async def test_a_checkpoint_that_cannot_be_stored_takes_nothing(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        entries = await _grown(backend, rows, 4)
        with pytest.raises(EntryRejected):
            await backend.journal.fold(rows.fold(entries[1:3], checkpoint={"entry_kind": 12}))
        assert await backend.journal.read_execution(rows.execution_id(ONE)) == entries

    async def test_entries_without_stamps_are_folded(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        entries = await _grown(backend, rows, 5, hmac=None)
        assert await backend.journal.fold(rows.fold(entries[1:4], checkpoint={"hmac": None}))
        left = await backend.journal.read_execution(rows.execution_id(ONE))
        assert [(row.entry_no, row.hmac) for row in left] == [(1, None), (4, None), (5, None)]

    async def test_inv_07_the_check_of_the_key_is_stored_with_a_checkpoint(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        entries = await _grown(backend, rows, 4)
        backend.announce_key(7, b"check of 7")
        assert await backend.journal.fold(rows.fold(entries[1:3]))
        assert await backend.key_checks() == {7: b"check of 7"}
        backend.announce_key(7, b"another check")
        with pytest.raises(EntryRejected):
            await backend.journal.fold(rows.fold(entries[3:4]))
        left = await backend.journal.read_execution(rows.execution_id(ONE))
        assert [row.entry_no for row in left] == [1, 3, 4]


async def _grown(
    backend: ExecutionBackend, rows: Rows, entries: int, **changes: Any
) -> list[JournalRow]:
    """Execution 1 with so many entries, each with an hmac of its own; they."""
    made = [
        rows.entry(ONE, number)._replace(**{"hmac": bytes((number,)) * 32, **changes})
        for number in range(1, entries + 1)
    ]
    start = rows.execution(ONE, entry_count=entries)
    await backend.journal.append(CommitBatch((start,), (), tuple(made)))
    return await backend.journal.read_execution(rows.execution_id(ONE))
