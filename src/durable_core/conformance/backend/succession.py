"""Executions that continue others: they start, and take over the key, where the others' ends apply.

Carries the storage side of INV-15 for them: the continuation of a stale owner starts nothing.
"""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from durable_core.conformance.harness import BackendContract
from durable_core.conformance.rows import Rows, written
from durable_core.contracts import CommitBatch, ExecutionBackend
from durable_core.model.entries import EntryKind

__all__ = ["SuccessionContract"]

KEY = "nightly"


def handing_on(rows: Rows, number: int, heir: int, key: str | None = KEY) -> CommitBatch:
    """The end of an execution with one entry, and the start of the one that continues it."""
    end = rows.advance(2, number, status="completed", finalized_at=9)
    start = rows.start(heir, execution_key=key, entry_count=2)
    return CommitBatch(
        start.starts,
        end.changes,
        (*end.rows, *start.rows, rows.entry(heir, 2, entry_kind=EntryKind.PROMISE_RESOLVED)),
        successions=((rows.execution_id(number), rows.execution_id(heir)),),
    )


class SuccessionContract(BackendContract):
    """One transaction: the end, the start, and the move of the key; or none of them."""

    @pytest.mark.parametrize("key", [KEY, None])
    async def test_what_continues_starts_with_the_end_of_the_other(
        self, backend: ExecutionBackend, rows: Rows, key: str | None
    ) -> None:
        await backend.journal.append(rows.start(1, execution_key=key))
        outcome = await backend.journal.append(handing_on(rows, 1, 2, key))
        assert written(outcome) == [True, True, True]
        assert not outcome.unmatched
        assert not outcome.taken
        ended = await backend.load(rows.execution_id(1))
        assert ended is not None
        assert (ended.status, ended.execution_key) == ("completed", key)
        heir = rows.execution(2, execution_key=key, entry_count=2)
        assert await backend.load(rows.execution_id(2)) == heir
        assert len(await backend.journal.read_execution(rows.execution_id(2))) == 2
        found = await backend.find("checkout", KEY)
        assert found == (rows.execution_id(2) if key else None)
        assert await backend.strays() == []

    async def test_a_key_leads_to_the_last_of_many(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        await backend.journal.append(rows.start(1, execution_key=KEY))
        for number in range(1, 20):
            outcome = await backend.journal.append(
                handing_on(rows, number, number + 1)
                if number == 1
                else _second(handing_on(rows, number, number + 1))
            )
            assert written(outcome) == [True, True, True]
        assert await backend.find("checkout", KEY) == rows.execution_id(20)

    @pytest.mark.parametrize(
        "stale",
        [{"owner_epoch": 2}, {"expected_status": "blocked"}, {"expected_count": 7}],
        ids=str,
    )
    async def test_inv_15_the_continuation_of_a_stale_owner_starts_nothing(
        self, backend: ExecutionBackend, rows: Rows, stale: dict[str, Any]
    ) -> None:
        await backend.journal.append(rows.start(1, execution_key=KEY))
        await backend.journal.append(rows.start(2, 3, execution_key=None))
        first, second = handing_on(rows, 1, 5), handing_on(rows, 2, 6, None)
        own = rows.start(7, execution_key="other")
        advanced = rows.advance(2, 3)
        batch = CommitBatch(
            (*first.starts, *second.starts, *own.starts),
            (first.changes[0]._replace(**stale), *second.changes, *advanced.changes),
            (*first.rows, *second.rows, *own.rows, *advanced.rows),
            successions=(*first.successions, *second.successions),
        )
        outcome = await backend.journal.append(batch)
        assert outcome.unmatched == {rows.execution_id(1), rows.execution_id(5)}
        assert not outcome.taken
        assert written(outcome) == [False] * 3 + [True] * 5
        assert await backend.load(rows.execution_id(5)) is None
        assert await backend.find("checkout", KEY) == rows.execution_id(1)
        assert await backend.load(rows.execution_id(6)) is not None
        assert await backend.strays() == []

    async def test_the_same_again_starts_nothing_twice(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        """So a retry of what has landed after all is fenced as a whole."""
        await backend.journal.append(rows.start(1, execution_key=KEY))
        batch = handing_on(rows, 1, 2)
        await backend.journal.append(batch)
        again = await backend.journal.append(batch)
        assert again.unmatched == {rows.execution_id(1), rows.execution_id(2)}
        assert written(again) == [False] * 3
        assert await backend.find("checkout", KEY) == rows.execution_id(2)

    async def test_a_start_of_that_key_in_the_same_batch_is_refused(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        await backend.journal.append(rows.start(1, execution_key=KEY))
        batch, other = handing_on(rows, 1, 2), rows.start(3, execution_key=KEY)
        outcome = await backend.journal.append(
            evolve(batch, starts=(*other.starts, *batch.starts), rows=(*other.rows, *batch.rows))
        )
        assert outcome.taken == {rows.execution_id(3): rows.execution_id(1)}
        assert written(outcome) == [False, True, True, True]
        assert await backend.find("checkout", KEY) == rows.execution_id(2)

    async def test_pruning_what_was_continued_leaves_the_key(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        await backend.journal.append(rows.start(1, execution_key=KEY))
        await backend.journal.append(handing_on(rows, 1, 2))
        ended = await backend.journal.ended(None, 9)
        assert await backend.journal.prune(ended) == {rows.execution_id(1)}
        assert await backend.find("checkout", KEY) == rows.execution_id(2)
        assert await backend.strays() == []

    async def test_what_continues_may_wait_for_promises_and_timers_at_once(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        await backend.journal.append(rows.start(1, execution_key=KEY))
        batch = evolve(
            handing_on(rows, 1, 2),
            promises=(rows.promise(2, 1), rows.promise(1, 2)),
            timers=(rows.timer(2), rows.timer(1)),
        )
        await backend.journal.append(batch)
        assert await backend.promises_of(rows.execution_id(2)) == [rows.promise(2, 1)]
        assert await backend.timers_of(rows.execution_id(2)) == [rows.timer(2)]


def _second(batch: CommitBatch) -> CommitBatch:
    """The same of an execution with two entries, as one that continues another has here."""
    (change,), (end, *rest) = batch.changes, batch.rows
    moved = change._replace(expected_count=2, entry_count=3)
    return evolve(batch, changes=(moved,), rows=(end._replace(entry_no=3, step_id="3"), *rest))
