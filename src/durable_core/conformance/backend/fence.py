"""The fence of a batch (INV-15), and starts whose key somebody else has."""

from __future__ import annotations

from typing import Any

import pytest

from durable_core.conformance.harness import BackendContract
from durable_core.conformance.rows import Rows, written
from durable_core.contracts import CommitBatch, ExecutionBackend

__all__ = ["FenceContract", "KeyContract"]


class FenceContract(BackendContract):
    """A change applies only where epoch, status and count are as expected; others go on."""

    async def test_a_change_writes_every_field(self, backend: ExecutionBackend, rows: Rows) -> None:
        await backend.journal.append(rows.start(1, 2))
        new = {
            "status": "failed",
            "generation": 3,
            "head_hmac": None,
            "finalized_at": 9,
            "updated_at": 8,
        }
        await backend.journal.append(rows.advance(2, 1, **new))
        ended = rows.execution(1, entry_count=2, anchor_mac=b"A" * 32, **new)
        assert await backend.load(rows.execution_id(1)) == ended
        both = (
            rows.change(1, 3, expected_status="failed", generation=4, anchor_mac=None),
            rows.change(2, 2, **new),
        )
        await backend.journal.append(CommitBatch((), both, ()))
        other = rows.execution(2, entry_count=2, anchor_mac=b"A" * 32, **new)
        assert await backend.load(rows.execution_id(2)) == other
        assert await backend.load(rows.execution_id(1)) == ended._replace(
            status="running",
            generation=4,
            entry_count=3,
            head_hmac=b"H" * 32,
            anchor_mac=None,
            updated_at=2000,
            finalized_at=None,
        )

    @pytest.mark.parametrize(
        "stale",
        [
            {"owner_epoch": 2},
            {"owner_epoch": 0},
            {"expected_status": "blocked"},
            {"expected_count": 0},
            {"expected_count": 2},
        ],
        ids=str,
    )
    @pytest.mark.parametrize("others", [(), (1,), (1, 3, 4)])
    async def test_inv_15_rows_of_a_stale_owner_are_left_out(
        self,
        backend: ExecutionBackend,
        rows: Rows,
        stale: dict[str, Any],
        others: tuple[int, ...],
    ) -> None:
        await backend.journal.append(rows.start(1, 2, 3, 4))
        numbers = sorted((*others, 2))
        batch = rows.advance(2, *numbers)
        changes = [
            change._replace(**stale) if change.execution_id == rows.execution_id(2) else change
            for change in batch.changes
        ]
        outcome = await backend.journal.append(CommitBatch((), tuple(changes), batch.rows))
        assert outcome.unmatched == {rows.execution_id(2)}
        assert written(outcome) == [number != 2 for number in numbers]
        assert await backend.load(rows.execution_id(2)) == rows.execution(2)
        for number in (1, 2, 3, 4):
            stored = await backend.journal.read_execution(rows.execution_id(number))
            assert len(stored) == (2 if number in others else 1)

    async def test_a_fenced_row_that_could_not_be_stored_hurts_nobody(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        await backend.journal.append(rows.start(1, 2))
        batch = CommitBatch(
            rows.start(3).starts,
            (rows.change(1, 2, owner_epoch=9), rows.change(2, 2)),
            (rows.entry(1, 1), rows.entry(2, 2), rows.entry(3, 1)),
        )
        outcome = await backend.journal.append(batch)
        assert outcome.unmatched == {rows.execution_id(1)}
        assert written(outcome) == [False, True, True]

    async def test_a_change_of_an_unknown_execution_is_unmatched(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        outcome = await backend.journal.append(rows.advance(2, 7))
        assert outcome.unmatched == {rows.execution_id(7)}
        assert list(outcome.seqs) == [None]
        assert await backend.list_executions() == []
        assert await backend.strays() == []

    async def test_the_same_batch_again_is_fenced(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        """So a retry of what has landed after all writes nothing twice."""
        await backend.journal.append(rows.start(1, 2))
        batch = rows.advance(2, 1, 2)
        assert not (await backend.journal.append(batch)).unmatched
        again = await backend.journal.append(batch)
        assert again.unmatched == {rows.execution_id(1), rows.execution_id(2)}
        assert len(await backend.journal.read_execution(rows.execution_id(1))) == 2

    async def test_ec_29_the_earlier_owner_cannot_commit(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        await backend.journal.append(rows.start(1))
        assert await backend.claim(rows.execution(1), "other", 5000) is not None
        stale = await backend.journal.append(rows.advance(2, 1))
        assert stale.unmatched == {rows.execution_id(1)}
        assert len(await backend.journal.read_execution(rows.execution_id(1))) == 1
        fresh = await backend.journal.append(rows.advance(2, 1, owner_epoch=2))
        assert not fresh.unmatched
        assert len(await backend.journal.read_execution(rows.execution_id(1))) == 2

    @pytest.mark.parametrize("status", ["completed", "failed", "aborted", "cancelled"])
    async def test_ec_33_a_terminal_execution_accepts_nothing(
        self, backend: ExecutionBackend, rows: Rows, status: str
    ) -> None:
        await rows.finish(backend, 1, status, 5)
        outcome = await backend.journal.append(rows.advance(2, 1))
        assert outcome.unmatched == {rows.execution_id(1)}
        assert len(await backend.journal.read_execution(rows.execution_id(1))) == 1


class KeyContract(BackendContract):
    """Of all executions of a workflow with one key there is one."""

    async def test_a_taken_key_starts_nothing(self, backend: ExecutionBackend, rows: Rows) -> None:
        await backend.journal.append(rows.start(1, execution_key="k"))
        batch = rows.start(2, 3, 4, 5)
        keys = ["k", None, "new", "new"]
        starts = tuple(
            start._replace(execution_key=key) for start, key in zip(batch.starts, keys, strict=True)
        )
        outcome = await backend.journal.append(CommitBatch(starts, (), batch.rows))
        assert outcome.taken == {
            rows.execution_id(2): rows.execution_id(1),
            rows.execution_id(5): rows.execution_id(4),
        }
        assert written(outcome) == [False, True, True, False]
        assert await backend.find("checkout", "k") == rows.execution_id(1)
        assert await backend.find("checkout", "new") == rows.execution_id(4)
        assert await backend.find("other", "new") is None
        assert await backend.load(rows.execution_id(2)) is None
        assert await backend.load(rows.execution_id(5)) is None

    async def test_one_key_in_two_workflows_is_two_keys(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        await backend.journal.append(rows.start(1, execution_key="k"))
        outcome = await backend.journal.append(rows.start(2, execution_key="k", workflow="refund"))
        assert not outcome.taken
        assert await backend.find("refund", "k") == rows.execution_id(2)

    async def test_keys_are_told_apart_byte_by_byte(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        """No folding of case, accents or spaces, as some collations have it."""
        keys = ["k", "K", "k ", " k", "é", "e\u0301", "", "ß", "ss", "🎈" * 100]
        for number, key in enumerate(keys, start=1):
            outcome = await backend.journal.append(rows.start(number, execution_key=key))
            assert not outcome.taken, key
        for number, key in enumerate(keys, start=1):
            assert await backend.find("checkout", key) == rows.execution_id(number)

    async def test_many_keys_in_one_batch(self, backend: ExecutionBackend, rows: Rows) -> None:
        batch = rows.start(*range(1, 201))
        starts = tuple(
            start._replace(execution_key=str(index // 2))
            for index, start in enumerate(batch.starts)
        )
        outcome = await backend.journal.append(CommitBatch(starts, (), batch.rows))
        assert outcome.taken == {
            rows.execution_id(number): rows.execution_id(number - 1) for number in range(2, 201, 2)
        }
        assert written(outcome) == [True, False] * 100
