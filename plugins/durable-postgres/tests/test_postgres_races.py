"""Claims: of what a stale owner has open on the server (INV-15), and of what can be named."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from durable_core.contracts import Claimable
from durable_postgres import PostgresBackend
from tests.postgres import WAITING

if TYPE_CHECKING:
    from durable_core.conformance.rows import Rows

HEAD = "UPDATE durable_executions SET entry_count = 2 WHERE execution_id = $1 AND owner_epoch = 1"
ENTRY = (
    "INSERT INTO durable_journal (execution_id, entry_no, generation, step_id, entry_kind, "
    "effect_class, payload_version, created_at) VALUES ($1, 2, 0, '2', 3, 1, 1, 5)"
)


async def test_inv_15_a_claim_waits_for_a_batch_that_is_open_and_knows_of_its_rows(
    backend: PostgresBackend, rows: Rows, admin: Any
) -> None:
    """The stale owner's rows are written and not committed. They are not to land behind a claim."""
    await backend.journal.append(rows.start(1))
    one = rows.execution_id(1)
    stale = admin.transaction()
    await stale.start()
    assert await admin.execute(HEAD, one) == "UPDATE 1"
    await admin.execute(ENTRY, one)
    claiming = asyncio.create_task(backend.claim(rows.execution(1), "other", 9))
    while not await admin.fetchval(WAITING):
        assert not claiming.done()
    await stale.commit()
    claimed = await claiming
    assert claimed is not None
    assert (claimed.owner_id, claimed.owner_epoch, claimed.entry_count) == ("other", 2, 2)
    assert len(await backend.journal.read_execution(one)) == 2
    late = await backend.journal.append(rows.advance(3, 1))
    assert late.unmatched == {one}
    assert len(await backend.journal.read_execution(one)) == 2


async def test_inv_15_a_batch_that_is_open_is_not_claimed_by_who_asks_for_many(
    backend: PostgresBackend, rows: Rows, admin: Any
) -> None:
    """Who shares the work passes it over, and finds it when it asks again."""
    await backend.journal.append(rows.start(1))
    which = Claimable(["owner-1"], ["checkout"], [1])
    async with admin.transaction():
        await admin.execute(HEAD, rows.execution_id(1))
        assert await backend.claim_waiting(which, "other", 9, 5) == []
    (claimed,) = await backend.claim_waiting(which, "other", 9, 5)
    assert (claimed.owner_epoch, claimed.entry_count) == (2, 2)


async def test_a_workflow_that_no_row_can_name_keeps_no_other_from_being_claimed(
    backend: PostgresBackend, rows: Rows
) -> None:
    await backend.journal.append(rows.start(1))
    which = Claimable(["owner-1"], ["a\0b", "checkout", "\udc80"], [1])
    (claimed,) = await backend.claim_waiting(which, "other", 9, 5)
    assert claimed.execution_id == rows.execution_id(1)
