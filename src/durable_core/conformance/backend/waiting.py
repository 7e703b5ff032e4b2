"""What does not wait: reads, and claims of many, while somebody else's transaction is open."""

from __future__ import annotations

import asyncio

import pytest

from durable_core.conformance.harness import BackendContract, BackendHarness
from durable_core.conformance.rows import Rows, numbers_of
from durable_core.contracts import Claimable, ExecutionBackend, OwnerLoad
from durable_core.errors import TransientStoreError

__all__ = ["WaitingContract"]

CHANGE = "UPDATE durable_executions SET workflow = $1, updated_at = 1 WHERE execution_id = $2"


class WaitingContract(BackendContract):
    """An open transaction of another connection delays no reader, and nobody for ever."""

    async def test_a_reader_neither_waits_nor_sees_what_is_not_committed(
        self, harness: BackendHarness, backend: ExecutionBackend, rows: Rows
    ) -> None:
        await backend.journal.append(rows.start(1, execution_key="k"))
        row = rows.execution(1, execution_key="k")
        request = rows.request(1)
        await backend.post_inbox(request)
        one = rows.execution_id(1)
        async with harness.uncommitted(CHANGE, "changed", one), asyncio.timeout(10):
            assert await backend.load(one) == row
            assert await backend.list_executions() == [row]
            assert await backend.find("checkout", "k") == one
            assert await backend.running_owners() == [OwnerLoad("owner-1", "checkout", 1, 1)]
            assert await backend.journal.read_execution(one) == [rows.entry(1, 1, entry_kind=1)]
            assert len(await backend.journal.read_execution_range(one, 0, 9)) == 1
            assert len(await backend.stored_seqs(one, 0, 9)) == 1
            assert await backend.read_inbox("owner-1") == [request]
            assert await backend.strays() == []
            assert not await backend.owner_alive("owner-1")
        assert await backend.load(one) == row

    async def test_a_writer_waits_less_than_its_timeout_and_may_try_again(
        self, harness: BackendHarness, rows: Rows
    ) -> None:
        backend = await harness.open(ack_timeout_ms=400)
        await backend.journal.append(rows.start(1))
        async with harness.uncommitted(CHANGE, "changed", rows.execution_id(1)):
            with pytest.raises(TransientStoreError) as caught:
                async with asyncio.timeout(10):
                    await backend.journal.append(rows.advance(2, 1))
            assert not caught.value.landed_unknown
            assert len(await backend.journal.read_execution(rows.execution_id(1))) == 1
        assert not (await backend.journal.append(rows.advance(2, 1))).unmatched

    async def test_what_somebody_is_changing_is_passed_over_and_not_waited_for(
        self, harness: BackendHarness, rows: Rows
    ) -> None:
        """Where the database locks as a whole the claim may be tried again instead."""
        backend = await harness.open(ack_timeout_ms=400)
        await backend.journal.append(rows.start(1, 2, 3))
        which = Claimable(("owner-1",), ("checkout",), (1,))
        async with harness.uncommitted(CHANGE, "changed", rows.execution_id(1)):
            try:
                async with asyncio.timeout(10):
                    claimed = await backend.claim_waiting(which, "claimer", 7000, 9)
            except TransientStoreError:
                assert {row.owner_epoch for row in await backend.list_executions()} == {1}
            else:
                assert numbers_of(claimed) == [2, 3]
        rest = await backend.claim_waiting(which, "claimer", 8000, 9)
        owned = await backend.list_executions()
        assert numbers_of(rest)[0] == 1
        assert [(row.owner_id, row.owner_epoch) for row in owned] == [("claimer", 2)] * 3
