"""Which appends of one execution are in the database already, after a commit of unknown outcome."""

from __future__ import annotations

from collections.abc import Sequence

from durable_core.contracts.backend import ExecutionBackend
from durable_core.journal.batching import Pending
from durable_core.journal.lane import Lane

__all__ = ["landed"]


async def landed(
    backend: ExecutionBackend,
    lane: Lane,
    appends: Sequence[Pending],
) -> list[int]:
    """The seqs of those at the front of `appends` that are stored; 0 for a bare change of status.

    `appends` were formed one after the other, and are what follows the committed state of `lane`.
    Reads behind whatever the backend still has under way. A stored row counts only if it is equal
    in every column, its hmac included; a bare change counts if the execution stands as after it,
    or if a later append counts.
    """
    execution_id = lane.row.execution_id
    heads = await backend.heads([execution_id])
    if not heads:
        return []
    reached = (heads[0].status, heads[0].entry_count)
    stored = iter(await _stored(backend, execution_id, appends))
    seqs: list[int] = []
    sure = 0
    for pending in appends:
        if pending.row is None:
            seqs.append(0)
            counts = reached == (pending.after.status.label, pending.after.entries)
        else:
            seq = next(stored, None)
            if seq is None:
                break
            seqs.append(seq)
            counts = True
        if counts:
            sure = len(seqs)
    return seqs[:sure]


async def _stored(
    backend: ExecutionBackend,
    execution_id: bytes,
    appends: Sequence[Pending],
) -> list[int]:
    """The seqs of the rows of `appends`, up to the first one that is not stored."""
    rows = [pending.row for pending in appends if pending.row is not None]
    if not rows:
        return []
    before = rows[0].entry_no - 1
    found = await backend.journal.read_execution_range(execution_id, before, len(rows))
    equal = 0
    while equal < min(len(rows), len(found)) and rows[equal] == found[equal]:
        equal += 1
    return await backend.stored_seqs(execution_id, before, equal)
