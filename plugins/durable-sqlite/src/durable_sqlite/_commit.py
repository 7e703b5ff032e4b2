"""One batch, or what is pruned at a time, as one transaction on the connection's thread.

Carries the storage side of INV-15: each `HeadChange` is a conditional update in the transaction
that inserts the rows of its execution, and those rows are left out where it did not apply. SQLite
gives the interpreter's lock away at every statement, and under a busy event loop getting it back
is what costs, so a batch is as few statements as it can be, and takes turns with the event loop.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Container, Sequence
from typing import Any

from durable_core.contracts import BatchOutcome, CommitBatch, EndedRow, HeadChange
from durable_core.failpoints import Failpoints
from durable_core.model.execution import ExecutionRow
from durable_core.storage import batches, texts
from durable_core.storage.binding import of_advances, of_entries, of_rows
from durable_core.storage.keycheck import KeyCheck
from durable_core.storage.many import Many, each
from durable_core.storage.scripts import storing_check
from durable_core.storage.turns import Turns
from durable_sqlite import _sql
from durable_sqlite._connection import abandon, immediate, played
from durable_sqlite._log import Log

__all__ = ["commit", "prune"]


def commit(
    connection: sqlite3.Connection,
    batch: CommitBatch,
    failpoints: Failpoints,
    key_check: KeyCheck,
    turns: Turns | None,
    log: Log,
) -> BatchOutcome:
    """Write what of `batch` applies; on any exception nothing of it is written."""
    failpoints.reach("backend.commit.before")
    abandon(connection)
    waiting = key_check.waiting if batches.uses_key(batch) else None
    try:
        unmatched = batches.refused(batch, _begin_and_change(connection, batch.changes, turns))
        if waiting is not None:
            played(connection, storing_check(waiting))
        taken = _begin_executions(connection, batch, unmatched) if batch.starts else {}
        lost = unmatched.union(taken) if taken else unmatched
        rows = [row for row in batch.rows if row.execution_id not in lost] if lost else batch.rows
        if turns is not None:
            turns.give(len(rows))
        last = _insert(connection, _sql.INSERT_ENTRIES, rows, of_entries)
        if batch.has_lookups:
            _change_lookups(connection, batch, lost)
        if batches.ends_something(batch):
            failpoints.reach("backend.finalize.inside")
        failpoints.reach("backend.commit.inside")
        if turns is None:
            log.lay_out()
        else:
            turns.give(len(batch.rows))
        connection.execute(_sql.COMMIT)
    except BaseException:
        abandon(connection)
        raise
    key_check.committed(waiting)
    failpoints.reach("backend.commit.after")
    # AUTOINCREMENT numbers without a gap while this transaction holds the write lock.
    seqs = range(last - len(rows) + 1, last + 1)
    if not lost:
        return BatchOutcome(seqs)
    numbers = iter(seqs)
    placed = [None if row.execution_id in lost else next(numbers) for row in batch.rows]
    return BatchOutcome(placed, unmatched, taken)


def prune(connection: sqlite3.Connection, rows: Sequence[EndedRow]) -> frozenset[bytes]:
    """Delete those whose fence holds, with all that is theirs; which ones that were."""
    gone: set[bytes] = set()
    with immediate(connection):
        for deleted in each(connection.execute, _sql.PRUNE, [row.fence for row in rows]):
            gone.update(one for (one,) in deleted)
        left = [row for row in rows if row.execution_id in gone]
        keys = [row[:3] for row in left if row.execution_key is not None]
        _insert(connection, _sql.PRUNE_KEYS, keys)
        for texts in _sql.PRUNE_OWNED:
            _insert(connection, texts, [row[:1] for row in left])
    return frozenset(gone)


def _begin_and_change(
    connection: sqlite3.Connection,
    changes: Sequence[HeadChange],
    turns: Turns | None,
) -> frozenset[bytes]:
    """Begin, apply the changes, and say which did not apply.

    Many changes go in one statement, whose count only says whether all applied. Where they did
    not, the transaction begins anew and each change goes alone.
    """
    connection.execute(_sql.BEGIN)
    if turns is not None:
        turns.give(len(changes))
    if len(changes) > 1:
        if _change_together(connection, changes):
            return frozenset()
        connection.execute(_sql.ROLLBACK)
        connection.execute(_sql.BEGIN)
    return frozenset(
        change.execution_id for change in changes if not _change_alone(connection, change)
    )


def _change_alone(connection: sqlite3.Connection, change: HeadChange) -> bool:
    fence = change[:4]
    if batches.keeps_status(change):
        return connection.execute(_sql.ADVANCE, of_rows((change[5:10], fence))).rowcount == 1
    return connection.execute(_sql.CHANGE, of_rows((change[4:], fence))).rowcount == 1


def _change_together(connection: sqlite3.Connection, changes: Sequence[HeadChange]) -> bool:
    advancing, others = list[HeadChange](), list[HeadChange]()
    for change in changes:
        (advancing if batches.keeps_status(change) else others).append(change)
    updates = (
        *each(connection.execute, _sql.ADVANCE_MANY, advancing, of_advances),
        *each(connection.execute, _sql.CHANGE_MANY, others),
    )
    return sum(update.rowcount for update in updates) == len(changes)


def _begin_executions(
    connection: sqlite3.Connection, batch: CommitBatch, unmatched: Container[bytes]
) -> dict[bytes, bytes]:
    """Insert what begins, but for those whose key another execution has: that one's id for each."""
    own, continuing = batches.begun(batch, unmatched)
    taken = _taken(connection, own)
    _start(connection, [start for start in own if start.execution_id not in taken])
    if continuing:
        _insert(connection, _sql.INSERT_EXECUTIONS, continuing)
        connection.executemany(texts.MOVE_KEY, batches.moved_keys(batch, continuing))
    return taken


def _taken(connection: sqlite3.Connection, starts: Sequence[ExecutionRow]) -> dict[bytes, bytes]:
    """The starts whose key another execution has, stored or earlier in this batch."""
    keyed = [start for start in starts if start.execution_key is not None]
    if not keyed:
        return {}
    wanted = list(dict.fromkeys(map(batches.key_of, keyed)))
    holders: dict[tuple[str, str | None], bytes] = {}
    for stored in each(connection.execute, _sql.SELECT_KEYS, wanted):
        holders.update(((workflow, key), holder) for workflow, key, holder in stored.fetchall())
    return batches.taken_keys(keyed, holders)


def _start(connection: sqlite3.Connection, starts: Sequence[ExecutionRow]) -> None:
    _insert(connection, _sql.INSERT_EXECUTIONS, starts)
    keys = [
        (*batches.key_of(start), start.execution_id)
        for start in starts
        if start.execution_key is not None
    ]
    _insert(connection, _sql.INSERT_KEYS, keys)


def _change_lookups(
    connection: sqlite3.Connection, batch: CommitBatch, lost: Container[bytes]
) -> None:
    promises = [promise for promise in batch.promises if promise.execution_id not in lost]
    _insert(connection, _sql.KEEP_PROMISES, promises)
    timers = [timer for timer in batches.armed(batch) if timer.execution_id not in lost]
    _insert(connection, _sql.ARM_TIMERS, timers)
    _insert(connection, _sql.DISARM_TIMERS, [one for one in batch.disarmed if one[0] not in lost])


def _insert(
    connection: sqlite3.Connection,
    many: Many,
    rows: Sequence[tuple[object, ...]],
    parameters: Callable[[Sequence[Any]], list[object]] = of_rows,
) -> int:
    """Insert the rows in order; the row id of the last one, 0 where there is none."""
    last = 0
    for inserted in each(connection.execute, many, rows, parameters):
        last = inserted.lastrowid or 0
    return last
