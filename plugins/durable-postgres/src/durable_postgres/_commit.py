"""One batch as one statement, and what came of it.

Carries the storage side of INV-15: each `HeadChange` is a conditional update in the statement that
inserts the rows of its execution, and those rows are left out where it did not apply.
"""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg

from durable_core.contracts import BatchOutcome, CommitBatch
from durable_core.errors import TransientStoreError
from durable_core.model.execution import ExecutionRow
from durable_core.storage.batches import armed, kept
from durable_postgres import _sql
from durable_postgres._connections import Connection

__all__ = ["holders_unseen", "outcome_of", "statement_of"]


def statement_of(batch: CommitBatch) -> tuple[str, list[list[object]]]:
    """The text that writes it, and its parameters: an array for each column of each part."""
    parts = batch.changes, batch.starts, batch.rows
    if not batch.has_lookups:
        return _sql.APPEND, _arrays(*parts)
    lookups = kept(batch), armed(batch), batch.disarmed
    return _sql.APPEND_AND_LOOKUPS, _arrays(*parts, *lookups)


def outcome_of(batch: CommitBatch, written: Sequence[asyncpg.Record]) -> BatchOutcome:
    """What `APPEND` returned, as the contract says it; holders that it did not see are missing."""
    applied: set[bytes] = set()
    seqs: dict[tuple[bytes, int], int] = {}
    taken: dict[bytes, bytes] = {}
    for execution_id, entry_no, seq, holder in written:
        if holder is not None:
            taken[execution_id] = holder
            continue
        applied.add(execution_id)
        if seq is not None:
            seqs[execution_id, entry_no] = seq
    won = {_key(start): start.execution_id for start in batch.starts if start[0] in applied}
    for start in batch.starts:
        if start.execution_id not in applied and _key(start) in won:
            taken[start.execution_id] = won[_key(start)]
    unmatched = (change.execution_id for change in batch.changes)
    return BatchOutcome(
        [seqs.get((row.execution_id, row.entry_no)) for row in batch.rows],
        frozenset(execution_id for execution_id in unmatched if execution_id not in applied),
        taken,
    )


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
        if start.execution_id not in applied and start.execution_id not in outcome.taken
    ]
    if not lost:
        return outcome
    keys = [start.workflow for start in lost], [start.execution_key for start in lost]
    found = {
        (workflow, key): holder
        for workflow, key, holder in await connection.fetch(_sql.SELECT_KEYS, *keys)
    }
    if any(_key(start) not in found for start in lost):
        message = f"a key in {address} was held, and its execution is gone by now; try again"
        raise TransientStoreError(message, landed_unknown=True)
    later = {start.execution_id: found[_key(start)] for start in lost}
    return BatchOutcome(outcome.seqs, outcome.unmatched, {**outcome.taken, **later})


def _key(start: ExecutionRow) -> tuple[str, str | None]:
    return start.workflow, start.execution_key


def _arrays(*parts: Sequence[Sequence[object]]) -> list[list[object]]:
    return [
        list(column)
        for rows, count in zip(parts, _sql.COLUMNS, strict=False)
        for column in (zip(*rows, strict=True) if rows else [()] * count)
    ]
