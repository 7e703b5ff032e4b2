"""The SQL that SQLite and Postgres read alike, constant, with columns in table order.

A `?` stands for each parameter; a driver that numbers them gets `numbered`. Where a text takes
many rows, `{rows}` stands for what gives them, which is a dialect's own.
"""

# ruff: noqa: S608 - what is interpolated here are constants of this package, and only those

from __future__ import annotations

from functools import cache
from itertools import count
from typing import Final

from durable_core.model.execution import TERMINAL
from durable_core.storage.tables import ENTRY, EXECUTION, OWNED, PROMISE, REQUEST, TIMER

__all__ = [
    "ARM_TIMERS",
    "CLAIM",
    "DELETE_ENTRIES",
    "DISARM_TIMERS",
    "ENDED_PAGES",
    "HOLD_EXECUTION",
    "INSERT_ENTRY",
    "INSERT_KEY_CHECK",
    "INSERT_VERSION",
    "KEEP_PROMISES",
    "MOVE_KEY",
    "PRUNE",
    "PRUNE_KEYS",
    "PRUNE_OWNED",
    "SELECT_BY_KEY",
    "SELECT_ENDED",
    "SELECT_ENTRIES",
    "SELECT_ENTRY_RANGE",
    "SELECT_EXECUTION",
    "SELECT_KEY_CHECK",
    "SELECT_KEY_CHECKS",
    "SELECT_NEWEST_ENDED",
    "SELECT_OPEN_USAGE",
    "SELECT_OWNERS",
    "SELECT_PROMISE",
    "SELECT_PROMISES",
    "SELECT_REQUESTS",
    "SELECT_REQUESTS_OF_OWNER",
    "SELECT_SEQS",
    "SELECT_STRAYS",
    "SELECT_STRAYS_OF",
    "SELECT_TIMERS",
    "SELECT_VERSION",
    "numbered",
]


@cache
def numbered(text: str) -> str:
    """The same with `$1`, `$2`, … in the places of the parameters."""
    first, *rest = text.split("?")
    return first + "".join(f"${number}{part}" for number, part in zip(count(1), rest, strict=False))


KEEP_PROMISES: Final = (
    f"INSERT INTO durable_promises ({PROMISE}) {{rows}} "
    "ON CONFLICT (execution_id, promise_id) DO UPDATE "
    "SET outcome = coalesce(durable_promises.outcome, excluded.outcome)"
)
ARM_TIMERS: Final = (
    f"INSERT INTO durable_timers ({TIMER}) {{rows}} "
    "ON CONFLICT (execution_id, timer_id) DO UPDATE SET due_at = excluded.due_at"
)
# A query around the rows, or SQLite compares each of them with every timer that there is.
DISARM_TIMERS: Final = (
    "DELETE FROM durable_timers WHERE (execution_id, timer_id) IN (SELECT * FROM ({rows}) AS gone)"
)

SELECT_ENTRIES: Final = (
    f"SELECT {ENTRY} FROM durable_journal WHERE execution_id = ? ORDER BY entry_no"
)
_PAGE: Final = "WHERE execution_id = ? AND entry_no > ? ORDER BY entry_no LIMIT ?"
SELECT_ENTRY_RANGE: Final = f"SELECT {ENTRY} FROM durable_journal {_PAGE}"
SELECT_SEQS: Final = f"SELECT seq FROM durable_journal {_PAGE}"

DELETE_ENTRIES: Final = (
    "DELETE FROM durable_journal WHERE execution_id = ? AND entry_no >= ? AND entry_no <= ? "
    "RETURNING entry_no, hmac"
)
INSERT_ENTRY: Final = (
    f"INSERT INTO durable_journal ({ENTRY}) VALUES ({', '.join('?' * ENTRY.count(',') + '?')})"
)

# Changes nothing, and lets nobody else change the row before the transaction ends.
HOLD_EXECUTION: Final = (
    "UPDATE durable_executions SET updated_at = updated_at "
    "WHERE execution_id = ? AND owner_epoch = ? AND status = ? RETURNING 1"
)
SELECT_EXECUTION: Final = f"SELECT {EXECUTION} FROM durable_executions WHERE execution_id = ?"
SELECT_BY_KEY: Final = (
    "SELECT execution_id FROM durable_execution_keys WHERE workflow = ? AND execution_key = ?"
)
MOVE_KEY: Final = (
    "UPDATE durable_execution_keys SET execution_id = ? "
    "WHERE workflow = ? AND execution_key = ? AND execution_id = ?"
)
CLAIM: Final = (
    "UPDATE durable_executions SET owner_id = ?, owner_epoch = owner_epoch + 1, updated_at = ? "
    f"WHERE execution_id = ? AND owner_epoch = ? AND status = ? RETURNING {EXECUTION}"
)
SELECT_OWNERS: Final = (
    "SELECT owner_id, workflow, key_id, count(*) FROM durable_executions "
    "WHERE status = 'running' AND finalized_at IS NULL GROUP BY owner_id, workflow, key_id"
)

SELECT_PROMISE: Final = (
    f"SELECT {PROMISE} FROM durable_promises WHERE promise_id = ? "
    "ORDER BY created_at, execution_id LIMIT 1"
)
SELECT_PROMISES: Final = (
    f"SELECT {PROMISE} FROM durable_promises WHERE execution_id = ? ORDER BY created_at, promise_id"
)
SELECT_TIMERS: Final = f"SELECT {TIMER} FROM durable_timers WHERE execution_id = ?"

SELECT_KEY_CHECKS: Final = 'SELECT key_id, "check" FROM durable_keys'
INSERT_KEY_CHECK: Final = (
    'INSERT INTO durable_keys (key_id, "check") VALUES (?, ?) ON CONFLICT (key_id) DO NOTHING'
)
# A statement of its own behind the insert, so that it sees a check that the insert waited for.
SELECT_KEY_CHECK: Final = 'SELECT "check" FROM durable_keys WHERE key_id = ?'

_OLDEST: Final = "ORDER BY created_at, execution_id, slot LIMIT ?"
SELECT_REQUESTS: Final = f"SELECT {REQUEST} FROM durable_inbox {_OLDEST}"
# In SQLite CROSS JOIN fixes the order of the loops: an inbox is almost always empty, and polled.
SELECT_REQUESTS_OF_OWNER: Final = (
    f"SELECT {REQUEST} FROM durable_inbox CROSS JOIN "
    "(SELECT execution_id AS owned, owner_id FROM durable_executions) AS e "
    f"WHERE owned = execution_id AND owner_id = ? {_OLDEST}"
)

_WITHOUT_EXECUTION: Final = """
SELECT DISTINCT '{kind}' AS kind, t.execution_id FROM {table} AS t
    WHERE {only} AND NOT EXISTS
        (SELECT 1 FROM durable_executions AS e WHERE e.execution_id = t.execution_id)
UNION ALL"""
# One statement, so that all of it is of one moment.
_STRAYS: Final = (
    "".join(
        _WITHOUT_EXECUTION.format(kind=kind, table=table, only="{only}")
        for kind, table in (
            ("entries", "durable_journal"),
            ("requests", "durable_inbox"),
            ("promises", "durable_promises"),
            ("timers", "durable_timers"),
        )
    )
    + """
SELECT 'keys', t.execution_id FROM durable_execution_keys AS t
    LEFT JOIN durable_executions AS e ON e.execution_id = t.execution_id
    WHERE {only} AND (e.execution_key IS NULL OR e.execution_key <> t.execution_key
        OR e.workflow <> t.workflow)
LIMIT ?
"""
)
SELECT_STRAYS: Final = _STRAYS.format(only="TRUE")
SELECT_STRAYS_OF: Final = _STRAYS.format(only="t.execution_id = ?")

# In SQLite a query around the rows lets each of them be looked for by its key, as above.
_GONE: Final = "IN (SELECT * FROM ({rows}) AS gone)"
PRUNE: Final = (
    "DELETE FROM durable_executions WHERE (execution_id, status, owner_epoch, finalized_at) "
    f"{_GONE} RETURNING execution_id"
)
# By the key as well: no index leads from an execution to it.
PRUNE_KEYS: Final = (
    f"DELETE FROM durable_execution_keys WHERE (execution_id, workflow, execution_key) {_GONE}"
)
PRUNE_OWNED: Final = tuple(
    f"DELETE FROM {table} WHERE execution_id {_GONE}" for table in ("durable_journal", *OWNED)
)

_PAYLOAD_BYTES: Final = (
    "coalesce(sum(coalesce(length(payload), 0) + coalesce(length(detail), 0)), 0)"
)
_ENDED: Final = "execution_id, workflow, execution_key, status, owner_epoch, finalized_at"
# Each status is a walk of its own along the index over (status, finalized_at), cut at the limit, so
# that a page costs no more than its rows however many there are behind them.
_ENDED_PAGES: Final = " UNION ALL ".join(
    f"SELECT * FROM (SELECT {_ENDED} FROM durable_executions WHERE status = '{status.label}' "
    f"AND (finalized_at, execution_id) {{behind}} (?, ?) {{next}}) AS {status.label}"
    for status in sorted(TERMINAL)
)
ENDED_PAGES: Final = len(TERMINAL)


def _select_ended(behind: str, order: str) -> str:
    following = f"ORDER BY finalized_at {order}, execution_id {order} LIMIT ?"
    pages = _ENDED_PAGES.format(behind=behind, next=following)
    return (
        f"SELECT e.*, count(j.execution_id), {_PAYLOAD_BYTES} "
        f"FROM (SELECT * FROM ({pages}) AS pages {following}) AS e "
        "LEFT JOIN durable_journal AS j ON j.execution_id = e.execution_id "
        f"GROUP BY {_ENDED.replace('execution_id', 'e.execution_id')} "
        f"ORDER BY finalized_at {order}, e.execution_id {order}"
    )


SELECT_ENDED: Final = _select_ended(">", "ASC")
SELECT_NEWEST_ENDED: Final = _select_ended("<", "DESC")
_OPEN: Final = "WHERE status IN ('running', 'blocked') AND finalized_at IS NULL"
SELECT_OPEN_USAGE: Final = (
    f"SELECT (SELECT count(*) FROM durable_executions {_OPEN}), count(*), {_PAYLOAD_BYTES} "
    f"FROM durable_journal WHERE execution_id IN "
    f"(SELECT execution_id FROM durable_executions {_OPEN})"
)

SELECT_VERSION: Final = "SELECT coalesce(max(version), 0) FROM durable_schema"
INSERT_VERSION: Final = "INSERT INTO durable_schema (version, applied_at) VALUES (?, ?)"
