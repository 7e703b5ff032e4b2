"""`Journal.append`: atomicity, fences, taken keys, refused rows, on a real server."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from durable_core.contracts import Claimable, CommitBatch, InboxRow, OwnerLoad, Stray, StrayKind
from durable_core.errors import EntryRejected
from durable_core.failpoints import Failpoints
from durable_postgres import PostgresBackend
from durable_postgres.journal import PostgresJournal
from tests.postgres import WAITING

if TYPE_CHECKING:
    from conftest import Child, Opener

    from durable_core.conformance.rows import Rows


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
    while not await other.fetchval(WAITING):
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


async def test_prune_deletes_what_it_is_given(backend: PostgresBackend, rows: Rows) -> None:
    for number, (status, at) in enumerate(
        [("completed", 10), ("completed", 30), ("failed", 10)], 1
    ):
        start = rows.start(number, status=status, finalized_at=at, execution_key=str(number))
        await backend.journal.append(start)
    await backend.journal.append(rows.start(4))
    ended = await backend.journal.ended(None, 10)
    assert await backend.journal.prune(ended[:1]) == {rows.execution_id(1)}
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


async def test_of_two_starts_with_one_key_the_first_of_the_batch_wins(
    backend: PostgresBackend, rows: Rows
) -> None:
    outcome = await backend.journal.append(rows.start(3, 1, 2, execution_key="k"))
    assert dict(outcome.taken) == {rows.execution_id(n): rows.execution_id(3) for n in (1, 2)}
    assert list(outcome.seqs) == [1, None, None]
    assert await backend.find("checkout", "k") == rows.execution_id(3)


@pytest.mark.parametrize("ending", ["COMMIT", "ROLLBACK"])
async def test_a_key_that_an_open_transaction_holds_is_waited_for(
    opener: Opener, rows: Rows, url: str, ending: str
) -> None:
    """The holder commits behind the statement's look, so the statement cannot see who it is."""
    backend = await opener()
    other = await asyncpg.connect(url)
    await other.execute("BEGIN")
    await other.execute(
        "INSERT INTO durable_execution_keys VALUES ('checkout', 'k', $1)", rows.execution_id(9)
    )
    batch = asyncio.create_task(backend.journal.append(rows.start(1, execution_key="k")))
    while not await other.fetchval(WAITING):
        pass
    await other.execute(ending)
    outcome = await batch
    await other.close()
    lost = ending == "COMMIT"
    assert dict(outcome.taken) == ({rows.execution_id(1): rows.execution_id(9)} if lost else {})
    assert (await backend.load(rows.execution_id(1)) is None) == lost


async def test_a_batch_is_one_statement(opener: Opener, rows: Rows) -> None:
    backend = await opener()
    await backend.journal.append(rows.start(9))  # the driver looks at types before its first use
    texts: list[str] = []
    connection = backend._writer._connection
    assert connection is not None
    connection.add_query_logger(lambda logged: texts.append(logged.query))
    await backend.journal.append(rows.start(1, 2))
    await backend.journal.append(rows.advance(2, 1, 2))
    await backend.journal.append(rows.start(3, execution_key="k"))
    await backend.journal.append(rows.start(4, execution_key="k"))
    assert len(texts) == 4
    assert len(set(texts)) == 1


async def test_a_key_check_goes_with_what_is_first_written(
    opener: Opener, rows: Rows, admin: Any
) -> None:
    first, second = await opener(), await opener()
    first.announce_key(3, b"one")
    second.announce_key(3, b"two")
    await first.journal.append(CommitBatch((), (), ()))
    assert await first.key_checks() == {}
    started = await first.journal.append(rows.start(1))
    assert await second.key_checks() == {3: b"one"}
    assert list(started.seqs) == [1]
    for _ in range(2):
        with pytest.raises(EntryRejected, match="other key bytes"):
            await second.journal.append(rows.start(2))
    request = InboxRow(rows.execution_id(1), "cancel", "cancel", b"sealed", 7)
    with pytest.raises(EntryRejected, match="other key bytes"):
        await second.post_inbox(request)
    assert await second.read_inbox() == []
    assert await second.load(rows.execution_id(2)) is None
    assert await second.post_inbox(request._replace(payload=None))
    await admin.execute("DELETE FROM durable_keys")
    await first.journal.append(rows.start(5))
    assert await first.key_checks() == {}
    await second.journal.append(rows.start(2))
    assert await first.key_checks() == {3: b"two"}


async def test_a_key_check_of_a_batch_that_is_refused_is_not_stored(
    opener: Opener, rows: Rows
) -> None:
    backend = await opener()
    backend.announce_key(3, b"one")
    with pytest.raises(EntryRejected):
        await backend.journal.append(rows.start(1, status="no such status"))
    with pytest.raises(EntryRejected):
        await backend.post_inbox(InboxRow(rows.execution_id(1), "s", "cancel", b"sealed", 7))
    assert await backend.key_checks() == {}
    await backend.journal.append(rows.start(1))
    assert await backend.key_checks() == {3: b"one"}


async def test_who_owns_what_is_running(backend: PostgresBackend, rows: Rows) -> None:
    await backend.journal.append(rows.start(1, 2))
    await backend.journal.append(rows.start(3, workflow="other"))
    await backend.journal.append(rows.start(4, status="failed", finalized_at=3))
    assert sorted(await backend.running_owners()) == [
        OwnerLoad("owner-1", "checkout", 1, 2),
        OwnerLoad("owner-1", "other", 1, 1),
    ]


async def test_what_waits_is_claimed_by_many_without_waiting(
    opener: Opener, rows: Rows, admin: Any
) -> None:
    backends = [await opener() for _ in range(4)]
    numbers = range(1, 41)
    await backends[0].journal.append(rows.start(*numbers, owner_id="*"))
    await backends[0].journal.append(rows.start(50, owner_id="*", key_id=2))
    await backends[0].journal.append(rows.start(51, owner_id="*", workflow="other"))
    await backends[0].journal.append(rows.start(52, owner_id="x"))
    which = Claimable(["*", ""], ["checkout"], [1], [rows.execution_id(2)])
    transaction = admin.transaction()
    await transaction.start()
    locked = "SELECT 1 FROM durable_executions WHERE execution_id = $1 FOR UPDATE"
    await admin.fetch(locked, rows.execution_id(1))
    claims = (backend.claim_waiting(which, f"o{n}", 9, 3) for n, backend in enumerate(backends * 5))
    claimed = [row for some in await asyncio.gather(*claims) for row in some]
    await transaction.rollback()
    while more := await backends[0].claim_waiting(which, "o", 9, 3):
        assert len(more) <= 3
        claimed += more
    assert sorted(row.execution_id for row in claimed) == [
        rows.execution_id(number) for number in numbers if number != 2
    ]
    for row in claimed:
        assert row == await backends[1].load(row.execution_id)
        assert (row.owner_epoch, row.updated_at) == (2, 9)


async def test_the_oldest_is_claimed_first(backend: PostgresBackend, rows: Rows) -> None:
    await backend.journal.append(rows.start(5, 3, 4, 1, owner_id="", key_id=None))
    which = Claimable([""], ["checkout"], [])
    claimed = await backend.claim_waiting(which, "o", 9, 3)
    assert [row.execution_id for row in claimed] == [rows.execution_id(n) for n in (1, 3, 4)]


@pytest.mark.parametrize(
    ("failpoint", "stored"),
    [
        ("backend.commit.before:2", 1),
        ("backend.commit.inside:2", 1),
        ("backend.commit.after:2", 2),
        ("backend.finalize.inside", 2),
        ("backend.migrate.before", 0),
        ("backend.migrate.inside", 0),
        ("nowhere", 3),
    ],
)
async def test_a_kill_at_any_point_leaves_whole_batches(
    opener: Opener, child: Child, url: str, failpoint: str, stored: int, rows: Rows
) -> None:
    process = child("write", url, failpoint=failpoint)
    said, _ = await asyncio.to_thread(process.communicate)
    assert process.returncode == (0 if failpoint == "nowhere" else -signal.SIGKILL)
    backend = await opener()
    entries = await backend.journal.read_execution(rows.execution_id(1))
    assert [entry.entry_no for entry in entries] == list(range(1, stored + 1))
    assert stored - len(said.split()) in {0, 1}
    head = await backend.load(rows.execution_id(1))
    assert (head.entry_count if head else 0) == stored


async def test_inside_is_inside_of_a_transaction_of_the_server(opener: Opener, rows: Rows) -> None:
    backend = await opener()
    passed: list[tuple[str, bool]] = []

    def reach(name: str) -> None:
        connection = backend._writer._connection
        assert connection is not None
        passed.append((name, connection.is_in_transaction()))

    failpoints = Failpoints()
    failpoints.reach = reach
    journal = backend.journal
    assert isinstance(journal, PostgresJournal)
    journal._failpoints, journal._stepwise = failpoints, True
    await backend.journal.append(rows.start(1))
    await backend.journal.append(rows.advance(2, 1, status="completed", finalized_at=3))
    assert passed == [
        ("backend.commit.before", False),
        ("backend.commit.inside", True),
        ("backend.commit.after", False),
        ("backend.commit.before", False),
        ("backend.finalize.inside", True),
        ("backend.commit.inside", True),
        ("backend.commit.after", False),
    ]


async def test_a_plan_from_when_the_tables_were_small_is_not_kept(
    opener: Opener, rows: Rows, admin: Any
) -> None:
    """A batch for one execution of many reads a few pages, whatever was there at its first use."""
    backend = await opener()
    for number in range(1, 12):
        await backend.journal.append(rows.start(number))
    for first in range(1000, 5000, 500):
        await backend.journal.append(rows.start(*range(first, first + 500)))
    read = "SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 'durable_executions'"
    flush = "SELECT pg_stat_force_next_flush()"
    await backend._writer.rows(tuple, flush)
    before = await admin.fetchval(read)
    for count in range(2, 22):
        await backend.journal.append(rows.advance(count, 1000))
    await backend._writer.rows(tuple, flush)
    await backend.probe()
    assert await admin.fetchval(read) - before == 0


async def test_a_fence_is_looked_up_by_id_alone(opener: Opener, rows: Rows, admin: Any) -> None:
    """In a database without statistics too, where the planner guesses that few are running."""
    backend = await opener()
    for first in range(1, 1001, 250):
        await backend.journal.append(rows.start(*range(first, first + 250)))
    for count in range(2, 10):
        await backend.journal.append(rows.advance(count, *range(1, 129)))
    await backend._writer.rows(tuple, "SELECT pg_stat_force_next_flush()")
    await backend.probe()
    read = "SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE indexrelname = $1"
    assert await admin.fetchval(read, "durable_executions_status") == 0
    assert await admin.fetchval(read, "durable_executions_pkey") > 0
