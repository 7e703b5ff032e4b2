"""Ends of executions, requests by those who do not own one, and the checks of keys."""

from __future__ import annotations

import pytest

from durable_core.conformance.harness import BackendContract
from durable_core.conformance.rows import Rows
from durable_core.contracts import CommitBatch, ExecutionBackend
from durable_core.errors import EntryRejected
from durable_core.model.entries import EntryKind
from durable_core.model.execution import LEGAL_TRANSITIONS, TERMINAL

__all__ = ["InboxContract", "KeyCheckContract", "LifecycleContract"]


class LifecycleContract(BackendContract):
    """A backend stores every legal change of status, and `finalize` is a batch of one."""

    async def test_finalize_writes_the_end_or_nothing(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        await backend.journal.append(rows.start(1))
        before = await backend.max_seq()
        change = rows.change(1, 2, status="completed", finalized_at=2000)
        closing = rows.entry(1, 2, entry_kind=EntryKind.EXECUTION_FINISHED)
        seq = await backend.journal.finalize(change, closing)
        assert seq is not None
        assert seq > before
        assert await backend.journal.finalize(change, closing) is None
        done = await backend.load(rows.execution_id(1))
        assert done is not None
        assert (done.status, done.finalized_at, done.entry_count) == ("completed", 2000, 2)
        assert await backend.stored_seqs(rows.execution_id(1), 1, 9) == [seq]

    async def test_finalize_refuses_what_append_refuses(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        await backend.journal.append(rows.start(1))
        change = rows.change(1, 2, status="completed", finalized_at=2000)
        with pytest.raises(EntryRejected):
            await backend.journal.finalize(change, rows.entry(1, 2, entry_kind=12))
        assert await backend.load(rows.execution_id(1)) == rows.execution(1)

    async def test_every_legal_change_of_status_is_stored(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        number = 0
        for before, afters in LEGAL_TRANSITIONS.items():
            for after in sorted(afters):
                number += 1
                first, last = (5 if status in TERMINAL else None for status in (before, after))
                await backend.journal.append(
                    rows.start(number, status=before.label, finalized_at=first)
                )
                fence = {"expected_status": before.label, "status": after.label}
                batch = rows.advance(2, number, **fence, finalized_at=last)
                assert not (await backend.journal.append(batch)).unmatched
                row = await backend.load(rows.execution_id(number))
                assert row is not None
                assert (row.status, row.finalized_at) == (after.label, last)


class InboxContract(BackendContract):
    """Requests are filed once for each slot, read oldest first, and removed one by one."""

    async def test_a_request_comes_back_as_it_was_filed(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        await backend.journal.append(rows.start(1))
        filed = rows.request(1, "settle:4", payload=b"\x00sealed\xff", created_at=2**62)
        assert await backend.post_inbox(filed)
        assert await backend.read_inbox() == [filed]

    async def test_the_first_request_for_a_slot_wins(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        await backend.journal.append(rows.start(1))
        first = rows.request(1, payload=b"first")
        assert await backend.post_inbox(first)
        assert not await backend.post_inbox(rows.request(1, payload=b"second", created_at=1))
        assert await backend.post_inbox(rows.request(1, "settle:1", payload=b"other slot"))
        assert first in await backend.read_inbox()
        assert len(await backend.read_inbox()) == 2
        await backend.remove_inbox(first.execution_id, first.slot)
        assert await backend.post_inbox(rows.request(1, payload=b"second"))

    async def test_the_oldest_come_first_and_by_owner(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        await backend.journal.append(rows.start(1))
        await backend.journal.append(rows.start(2, owner_id="other"))
        late = rows.request(1, created_at=3000)
        early = rows.request(1, "settle:4", payload=b"sealed", created_at=1000)
        foreign = rows.request(2, created_at=2000)
        for row in (late, early, foreign):
            assert await backend.post_inbox(row)
        assert await backend.read_inbox() == [early, foreign, late]
        assert await backend.read_inbox(limit=2) == [early, foreign]
        assert await backend.read_inbox("owner-1") == [early, late]
        assert await backend.read_inbox("owner-1", limit=1) == [early]
        assert await backend.read_inbox("nobody") == []
        await backend.remove_inbox(late.execution_id, late.slot)
        await backend.remove_inbox(late.execution_id, late.slot)
        await backend.remove_inbox(foreign.execution_id, "settle:4")
        assert await backend.read_inbox() == [early, foreign]

    async def test_requests_go_with_the_owner_of_the_execution(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        await backend.journal.append(rows.start(1))
        filed = rows.request(1)
        await backend.post_inbox(filed)
        await backend.claim(rows.execution(1), "other", 5000)
        assert await backend.read_inbox("owner-1") == []
        assert await backend.read_inbox("other") == [filed]

    async def test_a_request_for_an_unknown_execution_is_refused(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        with pytest.raises(EntryRejected):
            await backend.post_inbox(rows.request(1))
        assert await backend.read_inbox() == []

    async def test_a_request_that_cannot_be_stored_is_refused(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        await backend.journal.append(rows.start(1))
        for bad in (rows.request(1, created_at=2**63), rows.request(1, "settle:\ud800")):
            with pytest.raises(EntryRejected):
                await backend.post_inbox(bad)
        assert await backend.read_inbox() == []


class KeyCheckContract(BackendContract):
    """A key's check is stored with the first thing that is written under it, and once."""

    async def test_a_key_check_is_stored_with_what_is_written(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        backend.announce_key(7, b"first")
        assert await backend.key_checks() == {}
        await backend.journal.append(rows.start(1))
        assert await backend.key_checks() == {7: b"first"}
        backend.announce_key(9, b"ninth")
        intent = rows.entry(1, 2, payload=None)
        await backend.journal.append(CommitBatch((), (rows.change(1, 2),), (intent,)))
        await backend.post_inbox(rows.request(1))
        assert await backend.key_checks() == {7: b"first"}, "nothing lies under that key"
        await backend.post_inbox(rows.request(1, "settle:1", payload=b"sealed"))
        assert await backend.key_checks() == {7: b"first", 9: b"ninth"}

    async def test_a_key_check_goes_with_a_payload(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        await backend.journal.append(rows.start(1))
        backend.announce_key(7, b"first")
        await backend.journal.append(rows.advance(2, 1))
        assert await backend.key_checks() == {7: b"first"}

    async def test_a_check_that_did_not_commit_goes_with_the_next_batch(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        backend.announce_key(7, b"first")
        broken = rows.start(1)
        with pytest.raises(EntryRejected):
            await backend.journal.append(CommitBatch(broken.starts * 2, (), broken.rows))
        assert await backend.key_checks() == {}
        await backend.journal.append(rows.start(1))
        assert await backend.key_checks() == {7: b"first"}

    async def test_the_same_check_again_is_no_matter(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        for number in (1, 2):
            backend.announce_key(255, b"c" * 32)
            await backend.journal.append(rows.start(number))
        assert await backend.key_checks() == {255: b"c" * 32}

    @pytest.mark.parametrize("key_id", [0, 256])
    async def test_a_key_id_out_of_range_is_rejected(
        self, backend: ExecutionBackend, rows: Rows, key_id: int
    ) -> None:
        backend.announce_key(key_id, b"none")
        with pytest.raises(EntryRejected):
            await backend.journal.append(rows.start(1))
        assert await backend.list_executions() == []
