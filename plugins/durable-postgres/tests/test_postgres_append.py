"""`Journal.append`: atomicity, fences, taken keys, refused rows, on a real server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from durable_core.contracts import CommitBatch, InboxRow, Stray, StrayKind
from durable_core.errors import EntryRejected
from durable_postgres import PostgresBackend

if TYPE_CHECKING:
    from conftest import Opener, Rows


async def test_start_and_entries_come_back_as_written(backend: PostgresBackend, rows: Rows) -> None:
    execution = rows.execution(
        1, execution_key="order-1", kind="custom:x", sealed=False, key_id=None, head_hmac=None
    )
    entries = (
        rows.entry(1, 1, entry_kind=1, fingerprint=None, idem_key=None, effect_class=0),
        rows.entry(1, 2, detail=b"d", payload=None, hmac=None),
    )
    outcome = await backend.journal.append(CommitBatch((execution,), (), entries))
    assert list(outcome.seqs) == [1, 2]
    assert (outcome.unmatched, dict(outcome.taken)) == (frozenset(), {})
    assert await backend.load(execution.execution_id) == execution
    assert await backend.journal.read_execution(execution.execution_id) == list(entries)
    assert await backend.find("checkout", "order-1") == execution.execution_id
    assert await backend.max_seq() == 2
    assert await backend.stored_seqs(execution.execution_id, 1, 9) == [2]


@pytest.mark.parametrize("count", [1, 2, 65, 256])
async def test_every_size_of_batch_is_written_in_order(
    backend: PostgresBackend, rows: Rows, count: int
) -> None:
    numbers = list(range(count, 0, -1))
    started = await backend.journal.append(rows.start(*numbers))
    assert list(started.seqs) == list(range(1, count + 1))
    advanced = await backend.journal.append(rows.advance(2, *sorted(numbers)))
    assert list(advanced.seqs) == list(range(count + 1, 2 * count + 1))


@pytest.mark.parametrize(
    "stale", [{"owner_epoch": 2}, {"expected_status": "blocked"}, {"expected_count": 5}]
)
async def test_what_does_not_match_its_fence_is_left_out_and_the_rest_commits(
    backend: PostgresBackend, rows: Rows, stale: dict[str, Any]
) -> None:
    await backend.journal.append(rows.start(1, 2))
    batch = CommitBatch(
        (rows.execution(3),),
        (rows.change(1, 2), rows.change(2, 2, **stale)),
        (rows.entry(2, 2), rows.entry(3, 1), rows.entry(1, 2)),
    )
    outcome = await backend.journal.append(batch)
    assert outcome.unmatched == {rows.execution_id(2)}
    assert list(outcome.seqs) == [None, 3, 4]
    assert len(await backend.journal.read_execution(rows.execution_id(2))) == 1


async def test_a_key_that_is_taken_names_its_holder(backend: PostgresBackend, rows: Rows) -> None:
    await backend.journal.append(rows.start(1, execution_key="k"))
    outcome = await backend.journal.append(rows.start(2, 3, execution_key="k"))
    assert dict(outcome.taken) == {rows.execution_id(n): rows.execution_id(1) for n in (2, 3)}
    assert list(outcome.seqs) == [None, None]
    assert await backend.load(rows.execution_id(2)) is None


async def test_a_row_that_can_never_be_stored_takes_its_whole_batch(
    backend: PostgresBackend, rows: Rows
) -> None:
    await backend.journal.append(rows.start(1))
    for bad in (rows.entry(1, 2, entry_kind=12), rows.entry(1, 2, step_id="\0")):
        with pytest.raises(EntryRejected) as raised:
            await backend.journal.append(CommitBatch((), (rows.change(1, 2),), (bad,)))
        assert "payload" not in str(raised.value)
    head = await backend.load(rows.execution_id(1))
    assert head is not None
    assert head.entry_count == 1


async def test_inv_15_a_stale_batch_that_waits_for_a_claim_does_not_land_after_it(
    backend: PostgresBackend, rows: Rows, url: str
) -> None:
    """The claim is open when the batch comes, and commits while the batch waits for its lock."""
    await backend.journal.append(rows.start(1))
    other = await asyncpg.connect(url)
    transaction = other.transaction()
    await transaction.start()
    await other.execute("UPDATE durable_executions SET owner_epoch = owner_epoch + 1")
    batch = asyncio.create_task(backend.journal.append(rows.advance(2, 1)))
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    while not await other.fetchval(waiting):
        pass
    await transaction.commit()
    outcome = await batch
    await other.close()
    assert outcome.unmatched == {rows.execution_id(1)}
    assert len(await backend.journal.read_execution(rows.execution_id(1))) == 1


async def test_of_many_claimers_one_wins(opener: Opener, rows: Rows) -> None:
    backends = [await opener() for _ in range(3)]
    await backends[0].journal.append(rows.start(1))
    expected = rows.execution(1)
    claims = [backend.claim(expected, f"o{n}", 5) for n, backend in enumerate(backends * 4)]
    won = [row for row in await asyncio.gather(*claims) if row is not None]
    assert len(won) == 1
    assert won[0] == expected._replace(owner_id=won[0].owner_id, owner_epoch=2, updated_at=5)


async def test_requests_are_filed_once_and_only_for_what_is_there(
    backend: PostgresBackend, rows: Rows
) -> None:
    await backend.journal.append(rows.start(1))
    request = InboxRow(rows.execution_id(1), "cancel", "cancel", None, 7)
    assert await backend.post_inbox(request)
    assert not await backend.post_inbox(request._replace(created_at=8))
    with pytest.raises(EntryRejected):
        await backend.post_inbox(request._replace(execution_id=rows.execution_id(9)))
    assert await backend.read_inbox("owner-1") == [request]
    assert await backend.read_inbox("owner-2") == []
    await backend.remove_inbox(request.execution_id, request.slot)
    assert await backend.read_inbox() == []


async def test_prune_deletes_what_is_old_and_whole(backend: PostgresBackend, rows: Rows) -> None:
    for number, (status, at) in enumerate(
        [("completed", 10), ("completed", 30), ("failed", 10)], 1
    ):
        start = rows.start(number, status=status, finalized_at=at, execution_key=str(number))
        await backend.journal.append(start)
    await backend.journal.append(rows.start(4))
    report = await backend.journal.prune(completed_before=20, failed_before=5, limit=10)
    assert (report.executions, report.entries) == (1, 1)
    assert await backend.find("checkout", "1") is None
    left = [row.execution_id for row in await backend.list_executions()]
    assert left == [rows.execution_id(number) for number in (2, 3, 4)]
    assert await backend.list_executions(statuses=["failed"], workflow="checkout", limit=1) == [
        await backend.load(rows.execution_id(3))
    ]


async def test_strays_are_what_no_execution_accounts_for(
    backend: PostgresBackend, rows: Rows, url: str
) -> None:
    await backend.journal.append(rows.start(1, execution_key="k"))
    assert await backend.strays() == []
    other = await asyncpg.connect(url)
    await other.execute("DELETE FROM durable_executions")
    await other.close()
    lost = rows.execution_id(1)
    assert set(await backend.strays()) == {
        Stray(StrayKind.ENTRIES, lost),
        Stray(StrayKind.KEYS, lost),
    }
