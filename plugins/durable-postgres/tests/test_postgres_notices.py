"""Notices: what is told, to whom, and that neither a lost session nor nonsense does harm."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from durable_core.contracts import Claimable, CommitBatch, InboxRow, Notice, NoticeKind
from durable_core.model.execution import ANYONE, NOBODY
from durable_core.storage.notices import packed, unpacked
from tests.postgres import OWNERS

if TYPE_CHECKING:
    from conftest import Opener

    from durable_core.conformance.rows import Rows

CHANNEL = "SELECT 'durable_' || to_hex(hashtextextended(current_schema(), 7160))"
ENDED, REQUEST, WAITING = NoticeKind.ENDED, NoticeKind.REQUEST, NoticeKind.WAITING


class Ear(asyncio.Queue[Notice]):
    """What an engine hears. `until` returns all that comes before a marker.

    What is told at once comes by kinds: ENDED before REQUEST before WAITING.
    """

    async def until(self, marker: bytes, kind: NoticeKind = REQUEST) -> list[Notice]:
        heard: list[Notice] = []
        while (notice := await self.get()) != Notice(kind, marker):
            heard.append(notice)
        return heard


async def test_everything_that_somebody_may_wait_for_is_told(opener: Opener, rows: Rows) -> None:
    teller, listener = await opener(), await opener()
    ear = Ear()
    listener.listen(ear.put_nowait)
    await listener.hold_owner_lock("b")
    await teller.hold_owner_lock("a")
    ids = [rows.execution_id(number) for number in range(10)]
    append = teller.journal.append
    await append(rows.start(1, 2, 3))
    marker = InboxRow(ids[1], "marker", "cancel", None, 1)
    await listener.post_inbox(marker)  # its session listens before it sends anything
    await ear.until(ids[1])
    ended = {"status": "completed", "finalized_at": 5}
    both = (rows.change(1, 2, **ended), rows.change(2, 2, **ended, owner_epoch=9))
    await append(CommitBatch((), both, (rows.entry(1, 2), rows.entry(2, 2))))
    await append(rows.advance(2, 3, status="blocked"))
    await append(rows.advance(3, 3, expected_status="blocked"))
    await append(rows.start(4, 5, owner_id=ANYONE))
    await append(rows.start(6, **{**ended, "status": "failed"}))
    await teller.claim(rows.execution(2), "c", 7)
    await teller.claim(rows.execution(2, owner_epoch=2), NOBODY, 8)
    await teller.claim(rows.execution(2, owner_epoch=2), NOBODY, 8)
    which = Claimable([ANYONE], ["checkout"], [1])
    assert len(await teller.claim_waiting(which, "c", 9, 1)) == 1
    await teller.post_inbox(marker._replace(slot="again", execution_id=ids[2]))
    await teller.post_inbox(marker._replace(slot="again", execution_id=ids[2]))
    await append(rows.start(9, owner_id=ANYONE))
    heard = await ear.until(ids[9], WAITING)
    assert sorted(heard, key=str) == sorted(
        [
            Notice(ENDED, ids[1]),
            Notice(ENDED, ids[3]),
            Notice(ENDED, ids[6]),
            Notice(REQUEST, ids[2]),
            Notice(WAITING, ids[2]),
            Notice(WAITING, ids[4]),
        ],
        key=str,
    )


async def test_a_backend_that_never_listened_still_tells(opener: Opener, rows: Rows) -> None:
    """A tool that files one request and closes: no owner lock, no listening."""
    listener = await opener()
    ear = Ear()
    await listener.hold_owner_lock("b")
    listener.listen(ear.put_nowait)
    await listener.journal.append(rows.start(1))
    await listener.post_inbox(InboxRow(rows.execution_id(1), "first", "cancel", None, 1))
    await ear.until(rows.execution_id(1))
    tool = await opener()
    await tool.post_inbox(InboxRow(rows.execution_id(1), "cancel", "cancel", None, 1))
    await tool.close()
    assert await ear.until(rows.execution_id(1)) == []


async def test_nonsense_on_the_channel_is_passed_over(
    opener: Opener, rows: Rows, admin: Any
) -> None:
    listener = await opener()
    ear = Ear()
    listener.listen(ear.put_nowait)
    await listener.hold_owner_lock("b")
    await listener.journal.append(rows.start(1))
    await listener.post_inbox(InboxRow(rows.execution_id(1), "first", "cancel", None, 1))
    await ear.until(rows.execution_id(1))
    one = rows.execution_id(1).hex()
    for payload in ("", "ended", "ended:", f"ended:{one[1:]}", f"ended:{one[:-1]}x", f"no:{one}"):
        await admin.execute("SELECT pg_notify($1, $2)", await admin.fetchval(CHANNEL), payload)
    await listener.post_inbox(InboxRow(rows.execution_id(1), "last", "cancel", None, 1))
    assert await ear.until(rows.execution_id(1)) == []


async def test_notices_are_heard_again_after_the_session_was_lost(
    opener: Opener, rows: Rows
) -> None:
    teller, listener = await opener(), await opener()
    ear = Ear()
    said: asyncio.Queue[bool] = asyncio.Queue()
    await listener.hold_owner_lock("b", said.put_nowait)
    listener.listen(ear.put_nowait)
    await teller.evict("b")
    assert [await said.get(), await said.get()] == [False, True]
    await teller.journal.append(rows.start(1))
    number = 0
    async with asyncio.timeout(50):
        while ear.empty():  # LISTEN follows the lock by one statement
            number += 1
            slot = str(number)
            await teller.post_inbox(InboxRow(rows.execution_id(1), slot, "cancel", None, 1))
    assert await ear.get() == Notice(REQUEST, rows.execution_id(1))


async def test_a_commit_does_not_wait_for_a_session_that_hangs(
    opener: Opener, rows: Rows, admin: Any
) -> None:
    """Nothing of a notice stands in the way of a commit, or fails it."""
    teller = await opener()
    await teller.hold_owner_lock("a")
    ended = {"status": "completed", "finalized_at": 5}
    pid = await admin.fetchval(OWNERS)
    await admin.fetchval("SELECT pg_terminate_backend($1, 5000)", pid)
    for number in range(1, 20):
        outcome = await teller.journal.append(rows.start(number, **ended))
        assert len(outcome.seqs) == 1
    assert len(await teller.list_executions()) == 19


def test_many_notices_travel_in_few_payloads_that_fit(rows: Rows) -> None:
    ended = [Notice(ENDED, rows.execution_id(number)) for number in range(1, 1001)]
    others = [Notice(WAITING, rows.execution_id(1)), *ended[:3]]
    payloads = packed([*ended, *others])
    assert len(payloads) == 6
    assert max(len(payload.encode()) for payload in payloads) < 8000
    heard = [notice for payload in payloads for notice in unpacked(payload)]
    assert sorted(heard, key=str) == sorted([*ended, others[0]], key=str)
