"""One batch as one statement, and what came of it.

Carries the storage side of INV-15: each `HeadChange` is a conditional update in the statement that
inserts the rows of its execution, and those rows are left out where it did not apply.
"""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg

from durable_core.contracts import BatchOutcome, CommitBatch
from durable_core.errors import TransientStoreError
from durable_core.storage.batches import armed, kept, key_of
from durable_postgres import _sql
from durable_postgres._connections import Connection

__all__ = ["holders_unseen", "statement_of"]


def statement_of(batch: CommitBatch) -> tuple[str, list[list[object]]]:
    """The text that writes it, and its parameters: an array for each column of each part."""
    parts = batch.changes, batch.starts, batch.rows
    if not batch.has_lookups and not batch.successions:
        return _sql.APPEND, _arrays(*parts)
    rest = kept(batch), armed(batch), batch.disarmed, batch.successions
    return _sql.APPEND_ANY, _arrays(*parts, *rest)


async def holders_unseen(
    connection: Connection,
    batch: CommitBatch,
    written: Sequence[asyncpg.Record],
    outcome: BatchOutcome,
    address: str,
) -> BatchOutcome:
    """`outcome` with the holders whose transactions were open when the statement looked.

    The statement waited for them and lost, and sees only what had committed when it began.
    """
    applied = {row[0] for row in written}
    lost = [
        start
        for start in batch.starts
        if start.execution_id not in applied | outcome.taken.keys() | outcome.unmatched
    ]
    if not lost:
        return outcome
    keys = [start.workflow for start in lost], [start.execution_key for start in lost]
    found = {
        (workflow, key): holder
        for workflow, key, holder in await connection.fetch(_sql.SELECT_KEYS, *keys)
    }
    if any(key_of(start) not in found for start in lost):
        message = f"a key in {address} was held, and its execution is gone by now; try again"
        raise TransientStoreError(message, landed_unknown=True)
    later = {start.execution_id: found[key_of(start)] for start in lost}
    return BatchOutcome(outcome.seqs, outcome.unmatched, {**outcome.taken, **later})


def _arrays(*parts: Sequence[Sequence[object]]) -> list[list[object]]:
    return [
        list(column)
        for rows, count in zip(parts, _sql.COLUMNS, strict=False)
        for column in (zip(*rows, strict=True) if rows else [()] * count)
    ]
