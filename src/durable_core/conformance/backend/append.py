"""`Journal.append`: a batch as a whole, in its order, and what can never be stored."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from durable_core.conformance.harness import BackendContract
from durable_core.conformance.rows import Rows, written
from durable_core.contracts import CommitBatch, ExecutionBackend
from durable_core.errors import EntryRejected, JournalUnavailable
from durable_core.model.entries import EntryKind

__all__ = ["AppendContract"]

CANARY = b"canary-19ab"


class AppendContract(BackendContract):
    """A batch is one transaction; a row that can never be stored takes all of it along."""

    async def test_start_and_entries_come_back_as_written(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        execution = rows.execution(
            1, execution_key="order-1", kind="custom:x", sealed=False, key_id=None
        )
        entries = (
            rows.entry(1, 1, entry_kind=1, fingerprint=None, idem_key=None, effect_class=0),
            rows.entry(1, 2, detail=b"d", payload=None, hmac=None),
        )
        outcome = await backend.journal.append(CommitBatch((execution,), (), entries))
        assert written(outcome) == [True, True]
        assert not outcome.unmatched
        assert not outcome.taken
        assert await backend.load(execution.execution_id) == execution
        assert await backend.journal.read_execution(execution.execution_id) == list(entries)

    @pytest.mark.parametrize("count", [1, 2, 3, 63, 64, 65, 200])
    async def test_every_size_of_batch_is_written_in_order(
        self, backend: ExecutionBackend, rows: Rows, count: int
    ) -> None:
        numbers = range(1, count + 1)
        started = await backend.journal.append(rows.start(*numbers))
        advanced = await backend.journal.append(rows.advance(2, *numbers))
        assert written(started) == written(advanced) == [True] * count
        last, first = started.seqs[-1], advanced.seqs[0]
        assert last is not None
        assert first is not None
        assert last < first
        assert await backend.max_seq() == advanced.seqs[-1]
        heads = await backend.heads([rows.execution_id(number) for number in numbers])
        assert {head.execution_id: (head.entry_count, head.head_hmac) for head in heads} == {
            rows.execution_id(number): (2, b"H" * 32) for number in numbers
        }
        for number in (1, count):
            stored = await backend.journal.read_execution(rows.execution_id(number))
            assert stored == [rows.entry(number, 1, entry_kind=1), rows.entry(number, 2)]
            seqs = await backend.stored_seqs(rows.execution_id(number), 0, 9)
            assert seqs == [started.seqs[number - 1], advanced.seqs[number - 1]]

    async def test_many_rows_of_one_execution_are_one_batch(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        await backend.journal.append(rows.start(1))
        entries = tuple(rows.entry(1, number) for number in range(2, 150))
        change = rows.change(1, 149, expected_count=1)
        outcome = await backend.journal.append(CommitBatch((), (change,), entries))
        assert written(outcome) == [True] * 148
        assert await backend.journal.read_execution_range(change[0], 1, 999) == list(entries)

    async def test_rows_of_several_executions_keep_the_order_of_the_batch(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        await backend.journal.append(rows.start(1, 3))
        mixed = CommitBatch(
            (rows.execution(2, entry_count=2),),
            (rows.change(1, 3, expected_count=1), rows.change(3, 2)),
            (
                rows.entry(3, 2),
                rows.entry(1, 2),
                rows.entry(2, 1),
                rows.entry(1, 3),
                rows.entry(2, 2),
            ),
        )
        outcome = await backend.journal.append(mixed)
        assert written(outcome) == [True] * 5
        places = {
            number: await backend.stored_seqs(rows.execution_id(number), after, 9)
            for number, after in ((1, 1), (2, 0), (3, 1))
        }
        s = outcome.seqs
        assert places == {1: [s[1], s[3]], 2: [s[2], s[4]], 3: [s[0]]}

    async def test_a_change_without_rows_is_a_batch(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        await backend.journal.append(rows.start(1))
        change = rows.change(1, 1, expected_count=1, status="blocked")
        outcome = await backend.journal.append(CommitBatch((), (change,), ()))
        assert list(outcome.seqs) == []
        assert not outcome.unmatched
        (head,) = await backend.heads([rows.execution_id(1)])
        assert (head.status, head.entry_count) == ("blocked", 1)

    @pytest.mark.parametrize(
        "fault",
        [
            {"entry_no": 1},
            {"entry_no": 0},
            {"entry_no": 2, "step_id": "1"},
            {"entry_kind": 12},
            {"entry_kind": 0},
            {"effect_class": 4},
            {"effect_class": -1},
            {"generation": -1},
            {"entry_no": 2**63},
            {"created_at": 2**63},
            {"created_at": -(2**63) - 1},
            {"generation": 2**100},
            {"payload_version": 2**63},
            {"step_id": None},
            {"step_id": "\ud800"},
            pytest.param({"payload": object()}, id="payload of no storable type"),
            {"payload": "text"},
        ],
        ids=str,
    )
    async def test_a_refused_row_takes_its_whole_batch_along(
        self, backend: ExecutionBackend, rows: Rows, fault: dict[str, Any]
    ) -> None:
        await backend.journal.append(rows.start(1, 2))
        earlier = CommitBatch((), (rows.change(1, 2),), (rows.entry(1, 3, step_id="1"),))
        last = (await backend.journal.append(earlier)).seqs[0]
        bad = rows.entry(1, 4, detail=CANARY, idem_key=CANARY)._replace(**fault)
        if fault.get("entry_no") == 2:
            bad = bad._replace(entry_no=4)
        batch = CommitBatch(
            rows.start(3, execution_key="k").starts,
            (rows.change(1, 3), rows.change(2, 2)),
            (rows.entry(3, 1), rows.entry(2, 2), bad),
        )
        with pytest.raises(EntryRejected) as caught:
            await backend.journal.append(batch)
        assert CANARY.decode() not in str(caught.value)
        assert CANARY.hex() not in str(caught.value)
        assert await backend.load(rows.execution_id(3)) is None
        assert await backend.find("checkout", "k") is None
        assert await backend.load(rows.execution_id(2)) == rows.execution(2)
        assert len(await backend.journal.read_execution(rows.execution_id(2))) == 1
        assert last is not None
        assert await backend.max_seq() >= last
        good = await backend.journal.append(rows.advance(2, 2))
        assert written(good) == [True]
        assert good.seqs[0] is not None
        assert good.seqs[0] > last
        assert await backend.max_seq() == good.seqs[0]

    @pytest.mark.parametrize(
        "fault",
        [
            {"execution_id": b"short"},
            {"status": "bogus"},
            {"key_id": 0},
            {"key_id": 256},
            {"generation": -1},
            {"entry_count": -1},
            {"finalized_at": 5},
            {"created_at": 2**63},
            {"owner_epoch": 2**63},
            {"workflow": None},
            {"workflow": "\ud800"},
            {"execution_key": "\ud800"},
        ],
        ids=str,
    )
    async def test_a_refused_start_takes_its_whole_batch_along(
        self, backend: ExecutionBackend, rows: Rows, fault: dict[str, Any]
    ) -> None:
        starts = (rows.execution(1, execution_key="k"), rows.execution(2)._replace(**fault))
        with pytest.raises(EntryRejected):
            await backend.journal.append(CommitBatch(starts, (), (rows.entry(1, 1),)))
        assert await backend.list_executions() == []
        assert await backend.find("checkout", "k") is None
        assert await backend.strays() == []
        assert written(await backend.journal.append(rows.start(1, 2))) == [True, True]

    async def test_text_with_a_nul_is_stored_whole_or_refused(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        """Databases differ here, and none may cut the text."""
        try:
            await backend.journal.append(rows.start(1, workflow="a\0b"))
        except EntryRejected:
            assert await backend.list_executions() == []
        else:
            assert [row.workflow for row in await backend.list_executions()] == ["a\0b"]

    async def test_a_step_closes_once_in_a_generation(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        await backend.journal.append(rows.start(1))
        first = rows.entry(1, 2, step_id="0", entry_kind=EntryKind.STEP_FAILED)
        await backend.journal.append(CommitBatch((), (rows.change(1, 2),), (first,)))
        again = rows.entry(1, 3, step_id="0")
        with pytest.raises(EntryRejected):
            await backend.journal.append(CommitBatch((), (rows.change(1, 3),), (again,)))
        intent = again._replace(entry_kind=EntryKind.EFFECT_INTENT)
        await backend.journal.append(CommitBatch((), (rows.change(1, 3),), (intent,)))
        fresh = again._replace(entry_no=4, generation=1)
        outcome = await backend.journal.append(CommitBatch((), (rows.change(1, 4),), (fresh,)))
        assert written(outcome) == [True]

    async def test_an_execution_id_starts_once(self, backend: ExecutionBackend, rows: Rows) -> None:
        await backend.journal.append(rows.start(1))
        with pytest.raises(EntryRejected):
            await backend.journal.append(rows.start(1, workflow="other"))
        assert await backend.load(rows.execution_id(1)) == rows.execution(1)

    async def test_an_open_execution_has_no_end_time(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        await backend.journal.append(rows.start(1))
        with pytest.raises(EntryRejected):
            await backend.journal.append(rows.advance(2, 1, finalized_at=5))
        assert await backend.load(rows.execution_id(1)) == rows.execution(1)

    async def test_a_cancelled_caller_stops_nothing(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        """Whether it landed is not known; the next append runs behind it."""
        await backend.journal.append(rows.start(1))
        appending = asyncio.ensure_future(backend.journal.append(rows.advance(2, 1)))
        await asyncio.sleep(0)
        appending.cancel()
        with suppress(asyncio.CancelledError):
            await appending
        (head,) = await backend.heads([rows.execution_id(1)])
        stored = await backend.journal.read_execution(rows.execution_id(1))
        assert head.entry_count == len(stored)
        assert head.entry_count in {1, 2}
        outcome = await backend.journal.append(rows.advance(head.entry_count + 1, 1))
        assert written(outcome) == [True]

    async def test_after_close_every_call_is_refused(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        await backend.close()
        await backend.close()
        for work in (
            backend.journal.append(rows.start(1)),
            backend.journal.read_execution(rows.execution_id(1)),
            backend.load(rows.execution_id(1)),
            backend.probe(),
            backend.max_seq(),
            backend.running_owners(),
        ):
            with pytest.raises(JournalUnavailable, match="closed"):
                await work

    async def test_calls_that_were_handed_over_end_before_the_close(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        appending = asyncio.ensure_future(backend.journal.append(rows.start(1)))
        await asyncio.sleep(0)
        await backend.close()
        assert written(await appending) == [True]

    async def test_a_probe_changes_nothing(self, backend: ExecutionBackend, rows: Rows) -> None:
        await backend.probe()
        await backend.journal.append(rows.start(1))
        largest = await backend.max_seq()
        await backend.probe()
        assert await backend.list_executions() == [rows.execution(1)]
        assert await backend.max_seq() == largest
