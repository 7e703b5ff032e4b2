"""What the backend does besides appending: reads, claims, keys, the inbox, pruning."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from durable_core.contracts import (
    CommitBatch,
    ExecutionBackend,
    InboxRow,
    PruneReport,
    Stray,
    StrayKind,
)
from durable_core.errors import EntryRejected
from durable_sqlite import LocalBackend

if TYPE_CHECKING:
    from conftest import Opener, Rows


async def _grow(backend: LocalBackend, rows: Rows, number: int, entries: int) -> None:
    await backend.journal.append(rows.start(number))
    for count in range(2, entries + 1):
        await backend.journal.append(rows.advance(count, number))


def test_is_the_backend_of_its_name() -> None:
    assert issubclass(LocalBackend, ExecutionBackend)
    assert LocalBackend.name == "sqlite"
    assert not LocalBackend.capabilities.shared
    assert not LocalBackend.capabilities.notifies


async def test_ranges_are_pages_by_entry_no(either: LocalBackend, rows: Rows) -> None:
    await _grow(either, rows, 1, 3)
    await _grow(either, rows, 2, 5)
    journal, two = either.journal, rows.execution_id(2)
    pages = [await journal.read_execution_range(two, after, 2) for after in (0, 2, 4, 5)]
    assert [[entry.entry_no for entry in page] for page in pages] == [[1, 2], [3, 4], [5], []]
    assert [entry for page in pages for entry in page] == await journal.read_execution(two)
    assert await either.stored_seqs(two, 1, 3) == [5, 6, 7]
    assert await either.max_seq() == 8
    assert await journal.read_execution(rows.execution_id(9)) == []
    assert await either.load(rows.execution_id(9)) is None


async def test_lists_filter_and_page_by_age(either: LocalBackend, rows: Rows) -> None:
    await either.journal.append(rows.start(1, 4, 5))
    await either.journal.append(rows.start(2, status="blocked", workflow="refund"))
    await rows.finish(either, 3, "failed", 5)

    async def listed(**filters: object) -> list[int]:
        found = await either.list_executions(**filters)  # type: ignore[arg-type]
        return [int.from_bytes(row.execution_id, "big") for row in found]

    assert await listed() == [1, 2, 3, 4, 5]
    assert await listed(limit=2) == [1, 2]
    assert await listed(limit=2, after=rows.execution_id(2)) == [3, 4]
    assert await listed(statuses=["running"], after=rows.execution_id(1)) == [4, 5]
    assert await listed(statuses=["blocked", "running"]) == [1, 2, 4, 5]
    assert await listed(statuses=["failed", "running"], limit=2) == [1, 3]
    assert await listed(statuses=["failed"]) == [3]
    assert await listed(statuses=["completed"]) == []
    assert await listed(workflow="refund") == [2]
    assert await listed(workflow="refund", statuses=["running"]) == []
    assert await listed(workflow="checkout", statuses=["failed"]) == [3]


async def test_sealed_and_stamped_are_booleans(either: LocalBackend, rows: Rows) -> None:
    await either.journal.append(rows.start(1, sealed=False))
    row = await either.load(rows.execution_id(1))
    assert row is not None
    assert row.sealed is False
    assert row.stamped is True
    assert (await either.heads([row.execution_id, b"?" * 16])) == [row]


async def test_heads_are_read_behind_appends_under_way(
    backend: LocalBackend,
    rows: Rows,
) -> None:
    appending = asyncio.ensure_future(backend.journal.append(rows.start(1)))
    await asyncio.sleep(0)
    heads, largest = await asyncio.gather(
        backend.heads([rows.execution_id(1)]),
        backend.max_seq(),
    )
    assert heads == [rows.execution(1)]
    assert largest == 1
    await appending


async def test_a_reader_neither_waits_nor_sees_what_is_not_committed(
    opener: Opener,
    rows: Rows,
) -> None:
    backend = await opener()
    await backend.journal.append(rows.start(1))
    with closing(sqlite3.connect(opener.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("UPDATE durable_executions SET workflow = 'changed'")
        assert await backend.load(rows.execution_id(1)) == rows.execution(1)
        other.execute("ROLLBACK")


async def test_of_many_claimers_one_wins(opener: Opener, rows: Rows) -> None:
    backends = [await opener() for _ in range(3)]
    await backends[0].journal.append(rows.start(1))
    expected = rows.execution(1)
    won = await asyncio.gather(
        *(
            backend.claim(expected, f"owner-{n}-{m}", 5000)
            for n, backend in enumerate(backends)
            for m in range(5)
        ),
    )
    winners = [row for row in won if row is not None]
    assert len(winners) == 1
    assert winners[0] == expected._replace(
        owner_id=winners[0].owner_id,
        owner_epoch=2,
        updated_at=5000,
    )
    assert await backends[1].load(rows.execution_id(1)) == winners[0]


async def test_a_claim_needs_the_expected_status(either: LocalBackend, rows: Rows) -> None:
    await either.journal.append(rows.start(1, status="blocked"))
    assert await either.claim(rows.execution(1), "other", 5000) is None
    assert await either.claim(rows.execution(1, status="blocked"), "other", 5000) is not None


async def test_ec_29_the_earlier_owner_cannot_commit(either: LocalBackend, rows: Rows) -> None:
    await either.journal.append(rows.start(1))
    claimed = await either.claim(rows.execution(1), "other", 5000)
    stale = await either.journal.append(rows.advance(2, 1))
    assert stale.unmatched == {rows.execution_id(1)}
    fresh = await either.journal.append(rows.advance(2, 1, owner_epoch=2))
    assert not fresh.unmatched
    assert claimed is not None
    assert len(await either.journal.read_execution(claimed.execution_id)) == 2


async def test_a_key_check_is_stored_with_what_is_written(
    either: LocalBackend,
    rows: Rows,
) -> None:
    either.announce_key(7, b"first")
    assert await either.key_checks() == {}
    await either.journal.append(rows.start(1))
    assert await either.key_checks() == {7: b"first"}
    either.announce_key(9, b"ninth")
    intent = rows.entry(1, 2, payload=None)
    await either.journal.append(CommitBatch((), (rows.change(1, 2),), (intent,)))
    await either.post_inbox(InboxRow(rows.execution_id(1), "cancel", "cancel", None, 1))
    assert await either.key_checks() == {7: b"first"}, "nothing lies under that key"
    await either.post_inbox(InboxRow(rows.execution_id(1), "settle:1", "settle", b"sealed", 1))
    assert await either.key_checks() == {7: b"first", 9: b"ninth"}


async def test_a_key_check_is_stored_once(
    backend: LocalBackend, opener: Opener, rows: Rows
) -> None:
    """Later batches have no statement more."""
    backend.announce_key(7, b"first")
    await backend.journal.append(rows.start(1))
    tamper(opener.path, "DELETE FROM durable_keys")
    await backend.journal.append(rows.start(2))
    assert await backend.key_checks() == {}


async def test_of_two_checks_for_one_id_the_first_stays(opener: Opener, rows: Rows) -> None:
    """Nothing of the other key is written, neither with the first batch nor with a later one."""
    first, second = await opener(), await opener()
    first.announce_key(7, b"first")
    second.announce_key(7, b"second")
    await first.journal.append(rows.start(1))
    request = InboxRow(rows.execution_id(1), "settle:1", "settle", b"sealed", 1)
    for _ in range(2):
        with pytest.raises(EntryRejected, match="key id 7 has been used with other key bytes"):
            await second.journal.append(rows.start(2))
        with pytest.raises(EntryRejected, match="key id 7"):
            await second.post_inbox(request)
    assert await first.key_checks() == {7: b"first"}
    assert [row.execution_id for row in await first.list_executions()] == [rows.execution_id(1)]
    assert await first.read_inbox() == []


async def test_a_check_that_did_not_commit_goes_with_the_next_batch(
    either: LocalBackend,
    rows: Rows,
) -> None:
    either.announce_key(7, b"first")
    broken = rows.start(1)
    with pytest.raises(EntryRejected):
        await either.journal.append(CommitBatch(broken.starts * 2, (), broken.rows))
    assert await either.key_checks() == {}
    await either.journal.append(rows.start(1))
    assert await either.key_checks() == {7: b"first"}


async def test_a_key_id_out_of_range_is_rejected(either: LocalBackend, rows: Rows) -> None:
    either.announce_key(0, b"none")
    with pytest.raises(EntryRejected):
        await either.journal.append(rows.start(1))


async def test_the_first_request_for_a_slot_wins(opener: Opener, rows: Rows) -> None:
    backends = [await opener() for _ in range(3)]
    await backends[0].journal.append(rows.start(1))
    posts = [
        InboxRow(rows.execution_id(1), "cancel", "cancel", bytes([number]), 1000)
        for number in range(9)
    ]
    filed = await asyncio.gather(
        *(backends[number % 3].post_inbox(post) for number, post in enumerate(posts)),
    )
    assert filed.count(True) == 1
    assert await backends[2].read_inbox() == [posts[filed.index(True)]]


async def test_the_inbox_gives_the_oldest_first_and_by_owner(
    either: LocalBackend,
    rows: Rows,
) -> None:
    await either.journal.append(rows.start(1))
    await either.journal.append(rows.start(2, owner_id="other"))
    late = InboxRow(rows.execution_id(1), "cancel", "cancel", None, 3000)
    early = InboxRow(rows.execution_id(1), "settle:4", "settle", b"sealed", 1000)
    foreign = InboxRow(rows.execution_id(2), "cancel", "cancel", None, 2000)
    for row in (late, early, foreign):
        assert await either.post_inbox(row)
    assert await either.read_inbox() == [early, foreign, late]
    assert await either.read_inbox(limit=2) == [early, foreign]
    assert await either.read_inbox("owner-1") == [early, late]
    assert await either.read_inbox("owner-1", limit=1) == [early]
    assert await either.read_inbox("nobody") == []
    await either.remove_inbox(*late[:2])
    await either.remove_inbox(*late[:2])
    assert await either.read_inbox("owner-1") == [early]


async def test_a_request_for_an_unknown_execution_is_refused(
    either: LocalBackend,
    rows: Rows,
) -> None:
    with pytest.raises(EntryRejected):
        await either.post_inbox(InboxRow(rows.execution_id(1), "cancel", "cancel", None, 1))


def tamper(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA ignore_check_constraints = ON")
        for statement in statements:
            assert other.execute(statement).rowcount > 0


async def test_what_no_execution_accounts_for(opener: Opener, rows: Rows) -> None:
    backend = await opener()
    for number in (1, 2, 3):
        await backend.journal.append(rows.start(number, execution_key=str(number)))
        request = InboxRow(rows.execution_id(number), "cancel", "cancel", None, 1)
        await backend.post_inbox(request)
    first, second, third = (rows.execution_id(number) for number in (1, 2, 3))
    assert await backend.strays() == []
    tamper(
        opener.path,
        f"DELETE FROM durable_executions WHERE execution_id = x'{first.hex()}'",
        f"INSERT INTO durable_execution_keys VALUES ('checkout', '9', x'{second.hex()}')",
    )
    assert sorted(await backend.strays(), key=lambda stray: (stray.kind.value, stray[1])) == [
        Stray(StrayKind.ENTRIES, first),
        *[Stray(StrayKind.KEYS, found) for found in (first, second)],
        Stray(StrayKind.REQUESTS, first),
    ]
    assert len(await backend.strays(limit=3)) == 3
    assert await backend.strays(second) == [Stray(StrayKind.KEYS, second)]
    assert len(await backend.strays(first)) == 3
    assert await backend.strays(third) == []


async def test_text_that_is_no_utf_8_is_read_and_found_again(opener: Opener, rows: Rows) -> None:
    """It is damage of its own row: the others are read, and the row can be looked for."""
    backend = await opener()
    for number in (1, 2):
        await backend.journal.append(rows.start(number))
        await backend.post_inbox(InboxRow(rows.execution_id(number), "cancel", "cancel", None, 1))
    damaged = rows.execution_id(1)
    tamper(
        opener.path,
        "UPDATE durable_executions SET workflow = CAST(x'FF41' AS TEXT), status = 'bogus' "
        f"WHERE execution_id = x'{damaged.hex()}'",
        "UPDATE durable_inbox SET slot = CAST(x'FF' AS TEXT) "
        f"WHERE execution_id = x'{damaged.hex()}'",
    )
    assert [row.workflow for row in await backend.list_executions()] == ["\udcffA", "checkout"]
    assert [row.status for row in await backend.list_executions(workflow="\udcffA")] == ["bogus"]
    assert await backend.list_executions(workflow="\ud800") == []
    assert [row.workflow for row in await backend.heads([damaged])] == ["\udcffA"]
    requests = await backend.read_inbox()
    assert sorted(request.slot for request in requests) == ["cancel", "\udcff"]
    for request in requests:
        await backend.remove_inbox(request.execution_id, request.slot)
    assert await backend.read_inbox() == []


async def test_a_probe_commits_and_changes_nothing(backend: LocalBackend, opener: Opener) -> None:
    wal = opener.folder / "journal.db-wal"
    with closing(sqlite3.connect(opener.path)) as other:
        seen = other.execute("PRAGMA data_version").fetchone()
        rows_before = other.execute("SELECT * FROM durable_schema").fetchall()
        size = wal.stat().st_size
        await backend.probe()
        assert wal.stat().st_size > size
        assert other.execute("PRAGMA data_version").fetchone() != seen
        assert other.execute("SELECT * FROM durable_schema").fetchall() == rows_before


async def test_prune_deletes_what_is_old_and_whole(either: LocalBackend, rows: Rows) -> None:
    await either.journal.append(rows.start(1))
    await rows.finish(either, 2, "completed", 100)
    await rows.finish(either, 3, "completed", 101)
    await rows.finish(either, 4, "failed", 50)
    await rows.finish(either, 5, "cancelled", 49)
    await rows.finish(either, 6, "aborted", 48)
    await either.journal.append(rows.start(7, status="blocked"))
    await either.post_inbox(InboxRow(rows.execution_id(2), "cancel", "cancel", None, 1))
    report = await either.journal.prune(completed_before=101, failed_before=50, limit=10)
    assert report == PruneReport(executions=3, entries=3)
    left = [int.from_bytes(row.execution_id, "big") for row in await either.list_executions()]
    assert left == [1, 3, 4, 7]
    assert await either.find("checkout", "2") is None
    assert await either.find("checkout", "3") == rows.execution_id(3)
    assert await either.read_inbox() == []
    assert await either.journal.read_execution(rows.execution_id(2)) == []
    assert await either.max_seq() == 7
    again = await either.journal.append(rows.start(8, execution_key="2"))
    assert list(again.seqs) == [8]


async def test_prune_keeps_to_its_limit_and_takes_the_oldest(
    backend: LocalBackend,
    rows: Rows,
) -> None:
    for number, at in ((1, 30), (2, 10), (3, 20), (4, 5)):
        await rows.finish(backend, number, "failed" if number == 4 else "completed", at)
    reports = [
        await backend.journal.prune(completed_before=99, failed_before=99, limit=2)
        for _ in range(3)
    ]
    assert [report.executions for report in reports] == [2, 2, 0]
    await rows.finish(backend, 5, "completed", 30)
    await rows.finish(backend, 6, "completed", 20)
    await backend.journal.prune(completed_before=99, failed_before=99, limit=1)
    assert [row.finalized_at for row in await backend.list_executions()] == [30]


async def test_ec_32_prune_against_resume_leaves_no_halves(opener: Opener, rows: Rows) -> None:
    backend, other = await opener(), await opener()
    numbers = range(1, 41)
    for number in numbers:
        await rows.finish(backend, number, "failed", 10)

    async def resume(number: int) -> bool:
        change = rows.change(number, 2, expected_status="failed", generation=1)
        batch = CommitBatch((), (change,), (rows.entry(number, 2, generation=1),))
        return not (await other.journal.append(batch)).unmatched

    async def prune_some() -> None:
        for _ in range(5):
            await backend.journal.prune(completed_before=0, failed_before=99, limit=4)

    pruning = asyncio.ensure_future(prune_some())
    resumed = [await resume(number) for number in reversed(numbers)]
    await pruning
    for number, won in zip(reversed(numbers), resumed, strict=True):
        entries = await backend.journal.read_execution(rows.execution_id(number))
        key = await backend.find("checkout", str(number))
        assert len(entries) == (2 if won else 0)
        assert (key is not None) == won
