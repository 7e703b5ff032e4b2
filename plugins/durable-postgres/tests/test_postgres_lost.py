"""Lost sessions, lock waits and refusals: which error, what has landed, in which order."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from durable_core.contracts import CommitBatch
from durable_core.errors import (
    DurableError,
    EntryRejected,
    JournalUnavailable,
    TransientStoreError,
)
from durable_postgres import PostgresBackend
from durable_postgres._connections import Session
from tests.postgres import WAITERS, WAITING

if TYPE_CHECKING:
    from conftest import Opener

    from durable_core.conformance.rows import Rows

LONGEST_S = 50.0
SLEEPING = (
    "SELECT count(*) FROM pg_stat_activity "
    "WHERE wait_event = 'PgSleep' AND datname = current_database()"
)
END_OTHERS = (
    "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity "
    "WHERE pid <> pg_backend_pid() AND datname = current_database() "
    "AND backend_type = 'client backend'"
)
END_WAITING = f"SELECT count(pg_terminate_backend(pid, 5000)) FROM ({WAITERS}) AS waiters"


async def landed(backend: PostgresBackend, rows: Rows, number: int) -> int:
    return len(await backend.journal.read_execution(rows.execution_id(number)))


class Holder:
    """A transaction of somebody else that is open and has locked one execution."""

    def __init__(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        self.connection = connection
        self.transaction = connection.transaction()

    async def lock(self, execution_id: bytes) -> None:
        await self.transaction.start()
        await self.touch(execution_id)

    async def touch(self, execution_id: bytes) -> None:
        text = "UPDATE durable_executions SET updated_at = 7 WHERE execution_id = $1"
        await self.connection.execute(text, execution_id)

    async def waited_for(self) -> None:
        """Until somebody waits for what is locked here."""
        while not await self.connection.fetchval(WAITING):
            pass


async def test_sessions_that_ended_while_nothing_ran_are_made_anew(
    opener: Opener, rows: Rows, admin: Any
) -> None:
    backend = await opener()
    await backend.journal.append(rows.start(1))
    assert await landed(backend, rows, 1) == 1
    assert await admin.fetchval(END_OTHERS) == 2
    try:
        await backend.journal.append(rows.advance(2, 1))
    except TransientStoreError:  # it was sent before the loss showed
        await backend.journal.append(rows.advance(2, 1))
    assert await landed(backend, rows, 1) == 2
    assert await backend.max_seq() == 2


async def test_a_session_that_ends_within_a_commit_leaves_the_outcome_unknown(
    opener: Opener, rows: Rows, admin: Any
) -> None:
    backend = await opener()
    await backend.journal.append(rows.start(1))
    holder = Holder(admin)
    await holder.lock(rows.execution_id(1))
    batch = asyncio.create_task(backend.journal.append(rows.advance(2, 1)))
    await holder.waited_for()
    assert backend._writer._session is not None
    await admin.fetchval("SELECT pg_terminate_backend($1)", backend._writer._session.pid)
    with pytest.raises(TransientStoreError) as raised:
        await batch
    assert raised.value.landed_unknown
    await holder.transaction.rollback()
    assert [row.entry_count for row in await backend.heads([rows.execution_id(1)])] == [1]
    await backend.journal.append(rows.advance(2, 1))
    assert await landed(backend, rows, 1) == 2


async def test_what_is_asked_after_a_loss_is_answered_behind_what_was_handed_over(
    opener: Opener, rows: Rows, admin: Any
) -> None:
    """The old session still waits for a lock on the server when its client is cut off."""
    backend = await opener()
    await backend.journal.append(rows.start(1))
    holder = Holder(admin)
    await holder.lock(rows.execution_id(1))
    batch = asyncio.create_task(backend.journal.append(rows.advance(2, 1)))
    await holder.waited_for()
    assert backend._writer._connection is not None
    backend._writer._connection.terminate()
    with pytest.raises(TransientStoreError):
        await batch
    (head,) = await backend.heads([rows.execution_id(1)])
    assert await admin.fetchval(WAITING) == 0
    await holder.transaction.rollback()
    assert await backend.load(rows.execution_id(1)) == head
    assert head.entry_count == await landed(backend, rows, 1) == 1


async def test_a_session_that_has_the_number_of_an_old_one_by_now_is_left_alone(
    opener: Opener, rows: Rows, admin: Any
) -> None:
    """As after a restart of the server, which gives the numbers out again."""
    backend = await opener()
    number = await admin.fetchval("SELECT pg_backend_pid()")
    before = datetime(2020, 1, 1, tzinfo=UTC)
    assert backend._writer._connection is not None
    backend._writer._session = Session(number, before)
    backend._writer._connection.terminate()
    await backend.journal.append(rows.start(1))
    assert await admin.fetchval("SELECT pg_backend_pid()") == number


async def test_a_statement_without_an_answer_is_cut_off(
    opener: Opener, rows: Rows, admin: Any
) -> None:
    backend = await opener()
    await backend._writer.rows(tuple, "SELECT set_config('lock_timeout', '0', false)")
    await backend.journal.append(rows.start(1))
    holder = Holder(admin)
    await holder.lock(rows.execution_id(1))
    backend._writer._limit_s = 0.2
    with pytest.raises(TransientStoreError) as raised:
        await backend.journal.append(rows.advance(2, 1))
    assert raised.value.landed_unknown
    backend._writer._limit_s = LONGEST_S
    assert await backend.max_seq() == 1
    await holder.transaction.rollback()
    assert await landed(backend, rows, 1) == 1


async def test_a_cancelled_caller_does_not_stop_its_batch(
    opener: Opener, rows: Rows, admin: Any
) -> None:
    backend = await opener()
    await backend.journal.append(rows.start(1))
    holder = Holder(admin)
    await holder.lock(rows.execution_id(1))
    first = asyncio.create_task(backend.journal.append(rows.advance(2, 1)))
    await holder.waited_for()
    session = backend._writer._session
    first.cancel()
    second = asyncio.create_task(backend.journal.append(rows.advance(3, 1)))
    with pytest.raises(asyncio.CancelledError):
        await first
    await holder.transaction.rollback()
    assert list((await second).seqs) == [3]
    assert backend._writer._session is session
    assert await landed(backend, rows, 1) == 3


async def test_close_waits_for_what_was_handed_over(opener: Opener, rows: Rows, admin: Any) -> None:
    backend = await opener()
    await backend.journal.append(rows.start(1))
    holder = Holder(admin)
    await holder.lock(rows.execution_id(1))
    batch = asyncio.create_task(backend.journal.append(rows.advance(2, 1)))
    await holder.waited_for()
    closing = asyncio.create_task(backend.close())
    await holder.transaction.rollback()
    await closing
    assert list((await batch).seqs) == [2]
    with pytest.raises(JournalUnavailable, match="closed"):
        await backend.probe()
    with pytest.raises(JournalUnavailable, match="closed"):
        await backend.load(rows.execution_id(1))
    others = (
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE datname = current_database() AND backend_type = 'client backend'"
    )
    async with asyncio.timeout(LONGEST_S):
        while await admin.fetchval(others) > 1:
            pass


async def test_close_does_not_wait_for_ever_for_an_answer(
    opener: Opener, monkeypatch: pytest.MonkeyPatch, admin: Any
) -> None:
    """A prune that gets none, say, since the network has gone."""
    backend = await opener()
    deaf = asyncio.create_task(backend._pruner.rows(tuple[object], "SELECT pg_sleep(600)"))
    while not await admin.fetchval(SLEEPING):
        pass
    monkeypatch.setattr("durable_postgres._connections.CONNECT_S", 0.1)
    async with asyncio.timeout(LONGEST_S):
        await backend.close()
    with pytest.raises(TransientStoreError):
        await deaf


async def test_a_lock_wait_ends_below_the_acknowledgement_timeout(
    opener: Opener, rows: Rows, admin: Any
) -> None:
    backend = await opener(ack_timeout_ms=10_000)
    await backend.journal.append(rows.start(1))
    holder = Holder(admin)
    await holder.lock(rows.execution_id(1))
    with pytest.raises(TransientStoreError, match="55P03") as raised:
        await backend.journal.append(rows.advance(2, 1))
    assert not raised.value.landed_unknown
    await holder.transaction.rollback()
    await backend.journal.append(rows.advance(2, 1))
    assert await landed(backend, rows, 1) == 2


async def test_a_real_deadlock_is_transient_and_nothing_has_landed(
    opener: Opener, rows: Rows, admin: Any
) -> None:
    backend = await opener()
    for pair in ((1, 2), (3, 4), (5, 6)):
        await backend.journal.append(rows.start(*pair))
        holder = Holder(admin)
        await holder.lock(rows.execution_id(pair[1]))
        batch = asyncio.create_task(backend.journal.append(rows.advance(2, *pair)))
        await holder.waited_for()
        try:
            await holder.touch(rows.execution_id(pair[0]))
        except asyncpg.DeadlockDetectedError:
            # The server ends whoever has waited for longest when it looks, after a second: on a
            # machine that stood still for so long that is the holder, and the batch goes on.
            await holder.transaction.rollback()
            await batch
            continue
        with pytest.raises(TransientStoreError, match="40P01") as raised:
            await batch
        assert not raised.value.landed_unknown
        await holder.transaction.rollback()
        break
    else:
        pytest.fail("the batch was never the one that was ended")
    assert [await landed(backend, rows, number) for number in pair] == [1, 1]
    await backend.journal.append(rows.advance(2, *pair))
    assert [await landed(backend, rows, number) for number in pair] == [2, 2]


async def test_a_server_that_a_failover_left_read_only_is_left(
    opener: Opener, rows: Rows, url: str, admin: Any
) -> None:
    name = url.rpartition("/")[2]
    backend = await opener()
    await admin.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    await admin.fetchval(END_OTHERS)
    with suppress(TransientStoreError):
        await backend.max_seq()  # finds the lost session, and makes another
    for _ in range(2):
        with pytest.raises(TransientStoreError, match="25006"):
            await backend.probe()
    await admin.execute("SET default_transaction_read_only = off")
    await admin.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    await backend.journal.append(rows.start(1))
    assert await landed(backend, rows, 1) == 1


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        ("40001", TransientStoreError, "40001"),
        ("57014", TransientStoreError, "57014"),
        ("53300", TransientStoreError, "53300"),
        ("57P03", TransientStoreError, "57P03"),
        ("53100", JournalUnavailable, "free disk space"),
        ("58030", JournalUnavailable, "check its disk"),
        ("XX001", JournalUnavailable, "restore a backup"),
        ("42501", JournalUnavailable, "the use of the journal's tables"),
        ("53200", JournalUnavailable, "short of a resource"),
        ("P0001", JournalUnavailable, "P0001"),
        ("26000", JournalUnavailable, "session mode"),
        ("23514", EntryRejected, "23514"),
        ("22001", EntryRejected, "22001"),
        ("54000", EntryRejected, "54000"),
    ],
)
async def test_what_the_server_raises_becomes_the_error_of_the_contract(
    opener: Opener, rows: Rows, admin: Any, code: str, kind: type[DurableError], words: str
) -> None:
    """The server itself raises it, within the statement that inserts the entries."""
    backend = await opener()
    await backend.journal.append(rows.start(1))
    await admin.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"RAISE EXCEPTION 'secret value' USING ERRCODE = '{code}'; END $$; "
        "CREATE TRIGGER refuse BEFORE INSERT ON durable_journal EXECUTE FUNCTION refuse()"
    )
    with pytest.raises(DurableError, match=words) as raised:
        await backend.journal.append(rows.advance(2, 1))
    assert type(raised.value) is kind or isinstance(raised.value, kind)
    assert isinstance(raised.value, TransientStoreError) == (kind is TransientStoreError)
    assert "secret" not in str(raised.value)
    assert raised.value.__cause__ is raised.value.__context__ is None
    if isinstance(raised.value, TransientStoreError):
        assert not raised.value.landed_unknown
    await admin.execute("DROP TRIGGER refuse ON durable_journal")
    await backend.journal.append(rows.advance(2, 1))
    assert await landed(backend, rows, 1) == 2


async def test_reads_are_asked_again_until_the_server_answers(
    opener: Opener, rows: Rows, admin: Any
) -> None:
    """Sessions end at whatever moment of a read; the last time, nothing disturbs it any more."""
    backend = await opener(ack_timeout_ms=60_000)
    await backend.journal.append(rows.start(1))

    async def disturb() -> None:
        for _ in range(3):
            await admin.fetchval(END_OTHERS)

    for _ in range(50):
        disturbing = asyncio.create_task(disturb())
        assert await backend.load(rows.execution_id(1)) == rows.execution(1)
        await disturbing


async def test_a_read_that_lost_its_session_is_asked_again_in_another(
    opener: Opener, rows: Rows, admin: Any
) -> None:
    backend = await opener(ack_timeout_ms=60_000)
    await backend.journal.append(rows.start(1))
    await admin.execute("BEGIN")
    await admin.execute("LOCK TABLE durable_executions")
    reading = asyncio.create_task(backend.load(rows.execution_id(1)))
    for _ in range(3):
        await Holder(admin).waited_for()
        assert await admin.fetchval(END_WAITING) == 1
    await Holder(admin).waited_for()
    await admin.execute("ROLLBACK")
    assert await reading == rows.execution(1)


async def test_a_text_that_no_row_can_hold_is_found_nowhere(opener: Opener, rows: Rows) -> None:
    backend = await opener()
    await backend.journal.append(rows.start(1))
    for text in ("\0", "\udc80"):
        assert await backend.find("checkout", text) is None
        assert await backend.list_executions(workflow=text) == []
        await backend.remove_inbox(rows.execution_id(1), text)
        with pytest.raises(EntryRejected):
            await backend.journal.append(rows.start(2, workflow=text))
    batch = CommitBatch((), (rows.change(1, 2),), (rows.entry(1, 2, payload_version=2**40),))
    with pytest.raises(EntryRejected):
        await backend.journal.append(batch)
    assert len(await backend.list_executions()) == 1


async def test_a_reader_that_gets_no_answer_asks_again(
    opener: Opener, rows: Rows, admin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("durable_postgres._connections._READ_S", 0.2)
    backend = await opener()
    await backend.journal.append(rows.start(1))
    await admin.execute("BEGIN")
    await admin.execute("LOCK TABLE durable_executions")
    reading = asyncio.create_task(backend.load(rows.execution_id(1)))
    await Holder(admin).waited_for()
    while await admin.fetchval(WAITING) < 2:  # the second time that it asks
        pass
    await admin.execute("ROLLBACK")
    assert await reading == rows.execution(1)


async def test_a_cancelled_reader_leaves_no_answer_to_the_next(
    opener: Opener, rows: Rows, admin: Any
) -> None:
    backend = await opener()
    await backend.journal.append(rows.start(1))
    await admin.execute("BEGIN")
    await admin.execute("LOCK TABLE durable_executions")
    reading = asyncio.create_task(backend.load(rows.execution_id(1)))
    await Holder(admin).waited_for()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await admin.execute("ROLLBACK")
    assert await backend.find("checkout", "nothing") is None
    assert await backend.load(rows.execution_id(1)) == rows.execution(1)
