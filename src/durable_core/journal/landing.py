"""Which appends of one execution are in the database already, after a commit of unknown outcome."""

from __future__ import annotations

from collections.abc import Sequence

from durable_core.contracts.backend import ExecutionBackend
from durable_core.errors import DurableError
from durable_core.journal.batching import Pending
from durable_core.journal.lane import Lane
from durable_core.model.entries import EntryKind, FoldedRow, JournalRow
from durable_core.wire.checkpoint import unfolded

__all__ = ["landed"]


async def landed(
    backend: ExecutionBackend,
    lane: Lane,
    appends: Sequence[Pending],
) -> list[int]:
    """The seqs of those at the front of `appends` that are stored; 0 for a bare change of status.

    `appends` were formed one after the other, and are what follows the committed state of `lane`.
    Reads behind whatever the backend still has under way. A stored row counts only if it is equal
    in every column, its hmac included, also where another owner has folded it since; a bare change
    counts if the execution stands as after it, or if a later append counts.
    """
    execution_id = lane.row.execution_id
    heads = await backend.heads([execution_id])
    if not heads:
        return []
    reached = (heads[0].status, heads[0].entry_count)
    stored = iter(await _stored(backend, lane, appends))
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
    lane: Lane,
    appends: Sequence[Pending],
) -> list[int]:
    """The seqs of the rows of `appends`, up to the first one that is not stored."""
    rows = [pending.row for pending in appends if pending.row is not None]
    if not rows:
        return []
    before = rows[0].entry_no - 1
    found = await _found(backend, lane, before, len(rows))
    equal = 0
    while equal < min(len(rows), len(found)) and _is_stored(rows[equal], found[equal][0]):
        equal += 1
    return [seq for _, seq in found[:equal]]


async def _found(
    backend: ExecutionBackend, lane: Lane, before: int, limit: int
) -> list[tuple[JournalRow, int]]:
    """What is stored behind the entry `before`, and the seq of each.

    Another owner may have gone on, and folded: an entry then has the seq of its checkpoint.
    """
    execution_id = lane.row.execution_id
    while True:
        rows = await backend.journal.read_execution_range(execution_id, before, limit)
        seqs = await backend.stored_seqs(execution_id, before, limit)
        if rows == await backend.journal.read_execution_range(execution_id, before, limit):
            break  # nobody has folded in between
    found: list[tuple[JournalRow, int]] = []
    for row, seq in zip(rows, seqs, strict=False):
        found += [(entry, seq) for entry in _entries_of(lane, row) if entry.entry_no > before]
    return found


def _entries_of(lane: Lane, row: JournalRow) -> Sequence[JournalRow]:
    """The stored row, or what it stands for.

    Nothing of a checkpoint that cannot be read here, such as one under a key that only the new
    owner has: it stands where nothing of ours counts any more.
    """
    if row.entry_kind != EntryKind.CHECKPOINT:
        return [row]
    try:
        return unfolded(lane.envelope, row)
    except DurableError:
        return []


def _is_stored(row: JournalRow, found: JournalRow) -> bool:
    """Whether `found` is `row`: by its hmac, which speaks of all columns, once it was folded."""
    if not isinstance(found, FoldedRow):
        return row == found
    if row.hmac is not None:
        return row.hmac == found.hmac
    return row == found._replace(payload=None if found.payload is None else b"\x00" + found.payload)
