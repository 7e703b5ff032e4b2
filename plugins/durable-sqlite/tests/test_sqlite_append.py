"""`Journal.append` and `finalize`: atomicity, fences, taken keys, refused rows."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from durable_core.contracts import CommitBatch
from durable_core.errors import EntryRejected, JournalUnavailable, TransientStoreError
from durable_core.model.entries import EntryKind
from durable_sqlite import LocalBackend

if TYPE_CHECKING:
    from conftest import Opener, Rows


async def test_start_and_entries_come_back_as_written(either: LocalBackend, rows: Rows) -> None:
    execution = rows.execution(
        1, execution_key="order-1", kind="custom:x", sealed=False, key_id=None
    )
    entries = (
        rows.entry(1, 1, entry_kind=1, fingerprint=None, idem_key=None, effect_class=0),
        rows.entry(1, 2, detail=b"d", payload=None, hmac=None),
    )
    outcome = await either.journal.append(CommitBatch((execution,), (), entries))
    assert list(outcome.seqs) == [1, 2]
    assert not outcome.unmatched
    assert not outcome.taken
    assert await either.load(execution.execution_id) == execution
    assert await either.journal.read_execution(execution.execution_id) == list(entries)


@pytest.mark.parametrize("count", [1, 2, 3, 63, 64, 65, 200])
async def test_every_size_of_batch_is_written_in_order(
    backend: LocalBackend,
    rows: Rows,
    count: int,
) -> None:
    numbers = range(1, count + 1)
    started = await backend.journal.append(rows.start(*numbers, finalized_at=None))
    assert list(started.seqs) == list(numbers)
    advanced = await backend.journal.append(rows.advance(2, *numbers))
    assert list(advanced.seqs) == [count + number for number in numbers]
    heads = await backend.heads([rows.execution_id(number) for number in numbers])
    assert {head.execution_id: (head.entry_count, head.head_hmac) for head in heads} == {
        rows.execution_id(number): (2, b"H" * 32) for number in numbers
    }
    stored = await backend.journal.read_execution(rows.execution_id(count))
    assert stored == [rows.entry(count, 1, entry_kind=1), rows.entry(count, 2)]


async def test_a_change_writes_every_field(either: LocalBackend, rows: Rows) -> None:
    await either.journal.append(rows.start(1, 2))
    new = {
        "status": "failed",
        "generation": 3,
        "head_hmac": None,
        "finalized_at": 9,
        "updated_at": 8,
    }
    await either.journal.append(rows.advance(2, 1, **new))
    expected = rows.execution(1, entry_count=2, anchor_mac=b"A" * 32, **new)
    assert await either.load(rows.execution_id(1)) == expected
    both = CommitBatch(
        (),
        (
            rows.change(1, 3, expected_status="failed", generation=4),
            rows.change(2, 2, **new),
        ),
        (),
    )
    await either.journal.append(both)
    assert await either.load(rows.execution_id(2)) == rows.execution(
        2,
        entry_count=2,
        anchor_mac=b"A" * 32,
        **new,
    )
    reopened = await either.load(rows.execution_id(1))
    assert reopened is not None
    assert (reopened.status, reopened.generation, reopened.finalized_at) == ("running", 4, None)


@pytest.mark.parametrize(
    "stale",
    [{"owner_epoch": 2}, {"expected_status": "blocked"}, {"expected_count": 0}],
)
@pytest.mark.parametrize("others", [(), (1,), (1, 3, 4)])
async def test_inv_15_rows_of_a_stale_owner_are_left_out(
    either: LocalBackend,
    rows: Rows,
    stale: dict[str, Any],
    others: tuple[int, ...],
) -> None:
    await either.journal.append(rows.start(1, 2, 3, 4))
    numbers = sorted((*others, 2))
    batch = rows.advance(2, *numbers)
    changes = [
        change._replace(**stale) if change.execution_id == rows.execution_id(2) else change
        for change in batch.changes
    ]
    outcome = await either.journal.append(CommitBatch((), tuple(changes), batch.rows))
    assert outcome.unmatched == {rows.execution_id(2)}
    fresh = iter(range(5, 9))
    assert list(outcome.seqs) == [None if number == 2 else next(fresh) for number in numbers]
    assert await either.load(rows.execution_id(2)) == rows.execution(2)
    for number in (1, 2, 3, 4):
        stored = await either.journal.read_execution(rows.execution_id(number))
        assert len(stored) == (2 if number in others else 1)


async def test_a_change_of_an_unknown_execution_is_unmatched(
    either: LocalBackend,
    rows: Rows,
) -> None:
    outcome = await either.journal.append(rows.advance(2, 7))
    assert outcome.unmatched == {rows.execution_id(7)}
    assert list(outcome.seqs) == [None]
    assert await either.max_seq() == 0


async def test_a_taken_key_starts_nothing(either: LocalBackend, rows: Rows) -> None:
    await either.journal.append(rows.start(1, execution_key="k"))
    batch = rows.start(2, 3, 4, 5)
    keys = ["k", None, "new", "new"]
    starts = tuple(
        start._replace(execution_key=key) for start, key in zip(batch.starts, keys, strict=True)
    )
    outcome = await either.journal.append(CommitBatch(starts, (), batch.rows))
    assert outcome.taken == {
        rows.execution_id(2): rows.execution_id(1),
        rows.execution_id(5): rows.execution_id(4),
    }
    assert list(outcome.seqs) == [None, 2, 3, None]
    assert await either.find("checkout", "k") == rows.execution_id(1)
    assert await either.find("checkout", "new") == rows.execution_id(4)
    assert await either.find("other", "new") is None
    assert await either.load(rows.execution_id(2)) is None
    assert await either.load(rows.execution_id(5)) is None


async def test_one_key_in_two_workflows_is_two_keys(either: LocalBackend, rows: Rows) -> None:
    await either.journal.append(rows.start(1, execution_key="k"))
    outcome = await either.journal.append(rows.start(2, execution_key="k", workflow="refund"))
    assert not outcome.taken
    assert await either.find("refund", "k") == rows.execution_id(2)


@pytest.mark.parametrize(
    "fault",
    [
        {"entry_no": 1},
        {"entry_no": 2, "step_id": "1"},
        {"entry_kind": 12},
        {"effect_class": 4},
        {"entry_no": 2**63},
        {"step_id": None},
        {"step_id": "\ud800"},
        pytest.param({"payload": object()}, id="payload of no storable type"),
        {"payload": "text"},
        {"execution_id": b"\xff" * 16},
    ],
    ids=str,
)
async def test_a_refused_row_takes_its_whole_batch_along(
    either: LocalBackend,
    rows: Rows,
    fault: dict[str, Any],
) -> None:
    await either.journal.append(rows.start(1, 2))
    await either.journal.append(
        CommitBatch((), (rows.change(1, 2),), (rows.entry(1, 3, step_id="1"),)),
    )
    bad = rows.entry(1, 4)._replace(**fault)
    if fault.get("entry_no") == 2:
        bad = bad._replace(entry_no=4)
    batch = CommitBatch(
        rows.start(3, execution_key="k").starts,
        (rows.change(1, 3), rows.change(2, 2)),
        (rows.entry(3, 1), rows.entry(2, 2), bad),
    )
    with pytest.raises(EntryRejected) as caught:
        await either.journal.append(batch)
    assert caught.value.__cause__ is not None
    assert "payload" not in str(caught.value)
    assert await either.load(rows.execution_id(3)) is None
    assert await either.find("checkout", "k") is None
    assert await either.load(rows.execution_id(2)) == rows.execution(2)
    assert await either.max_seq() == 3
    good = await either.journal.append(rows.advance(2, 2))
    assert list(good.seqs) == [4]


async def test_a_step_closes_once_in_a_generation(either: LocalBackend, rows: Rows) -> None:
    await either.journal.append(rows.start(1))
    first = rows.entry(1, 2, step_id="0", entry_kind=EntryKind.STEP_FAILED)
    await either.journal.append(CommitBatch((), (rows.change(1, 2),), (first,)))
    again = rows.entry(1, 3, step_id="0")
    with pytest.raises(EntryRejected):
        await either.journal.append(CommitBatch((), (rows.change(1, 3),), (again,)))
    fresh = again._replace(generation=1)
    outcome = await either.journal.append(CommitBatch((), (rows.change(1, 3),), (fresh,)))
    assert list(outcome.seqs) == [3]


async def test_an_execution_id_starts_once(either: LocalBackend, rows: Rows) -> None:
    await either.journal.append(rows.start(1))
    with pytest.raises(EntryRejected):
        await either.journal.append(rows.start(1))


async def test_an_open_execution_has_no_end_time(either: LocalBackend, rows: Rows) -> None:
    """The schema says it, since the short form of the update relies on it."""
    await either.journal.append(rows.start(1))
    with pytest.raises(EntryRejected):
        await either.journal.append(rows.advance(2, 1, finalized_at=5))


async def test_a_busy_database_is_worth_a_retry(opener: Opener, rows: Rows) -> None:
    backend = await opener(ack_timeout_ms=100)
    await backend.journal.append(rows.start(1))
    with closing(sqlite3.connect(opener.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for work in (backend.journal.append(rows.advance(2, 1)), backend.probe()):
            with pytest.raises(TransientStoreError) as caught:
                await work
            assert not caught.value.landed_unknown
        assert len(await backend.journal.read_execution(rows.execution_id(1))) == 1
        other.execute("COMMIT")
    outcome = await backend.journal.append(rows.advance(2, 1))
    assert list(outcome.seqs) == [2]


async def test_a_full_database_says_what_to_do_and_recovers(
    backend: LocalBackend,
    opener: Opener,
    rows: Rows,
) -> None:
    await backend.journal.append(rows.start(1))
    used = await backend._writer.call(
        lambda connection: connection.execute("PRAGMA page_count").fetchone()[0],
    )
    await _limit_pages(backend, used)
    big = CommitBatch((), (rows.change(1, 2),), (rows.entry(1, 2, payload=b"s" * 100_000),))
    with pytest.raises(JournalUnavailable, match="free disk space") as caught:
        await backend.journal.append(big)
    assert str(opener.path) in str(caught.value)
    assert await backend.load(rows.execution_id(1)) == rows.execution(1)
    await _limit_pages(backend, 1_000_000)
    await backend.probe()
    assert list((await backend.journal.append(big)).seqs) == [2]


async def test_a_full_disk_loses_nothing_that_was_acknowledged(
    opener: Opener,
    child: Any,
) -> None:
    """A child meets a real limit on file sizes, whose errors are those of a full disk."""
    process = child("fill", opener.url)
    out, err = await asyncio.to_thread(process.communicate)
    first, second, intact = out.splitlines()
    assert not err
    assert first.startswith("JournalUnavailable: cannot use sqlite:///")
    assert "free" in first
    assert second == "JournalUnavailable"
    assert intact == "True"


async def test_a_cancelled_caller_stops_nothing(opener: Opener, rows: Rows) -> None:
    backend = await opener()
    await backend.journal.append(rows.start(1))
    with closing(sqlite3.connect(opener.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        appending = asyncio.ensure_future(backend.journal.append(rows.advance(2, 1)))
        await asyncio.sleep(0)
        appending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await appending
        other.execute("COMMIT")
    (head,) = await backend.heads([rows.execution_id(1)])
    assert head.entry_count == 2
    assert list((await backend.journal.append(rows.advance(3, 1))).seqs) == [3]


async def test_after_close_every_call_is_refused(either: LocalBackend, rows: Rows) -> None:
    await either.close()
    await either.close()
    for work in (
        either.journal.append(rows.start(1)),
        either.journal.read_execution(b""),
        either.probe(),
        either.max_seq(),
    ):
        with pytest.raises(JournalUnavailable, match="closed"):
            await work


async def test_calls_that_were_handed_over_end_before_the_close(
    backend: LocalBackend,
    rows: Rows,
) -> None:
    appending = asyncio.ensure_future(backend.journal.append(rows.start(1)))
    await asyncio.sleep(0)
    await backend.close()
    assert list((await appending).seqs) == [1]


async def test_finalize_writes_the_end_or_nothing(either: LocalBackend, rows: Rows) -> None:
    await either.journal.append(rows.start(1))
    change = rows.change(1, 2, status="completed", finalized_at=2000)
    closing_entry = rows.entry(1, 2, entry_kind=EntryKind.EXECUTION_FINISHED)
    assert await either.journal.finalize(change, closing_entry) == 2
    assert await either.journal.finalize(change, closing_entry) is None
    done = await either.load(rows.execution_id(1))
    assert done is not None
    assert (done.status, done.finalized_at, done.entry_count) == ("completed", 2000, 2)


async def test_ec_33_a_terminal_execution_accepts_nothing(
    either: LocalBackend,
    rows: Rows,
) -> None:
    await rows.finish(either, 1, "completed", 5)
    outcome = await either.journal.append(rows.advance(2, 1))
    assert outcome.unmatched == {rows.execution_id(1)}
    assert len(await either.journal.read_execution(rows.execution_id(1))) == 1


async def _limit_pages(backend: LocalBackend, pages: int) -> None:
    await backend._writer.call(
        lambda connection: connection.execute(f"PRAGMA max_page_count = {pages}").fetchone(),
    )
