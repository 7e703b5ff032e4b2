"""The SQL that SQLite and Postgres read alike, constant, with columns in table order.

A `?` stands for each parameter; a driver that numbers them gets `numbered`.
"""

# ruff: noqa: S608 - what is interpolated here are constants of this package, and only those

from __future__ import annotations

from functools import cache
from itertools import count
from typing import Final

from durable_core.storage.tables import ENTRY, EXECUTION, REQUEST

__all__ = [
    "CLAIM",
    "INSERT_KEY_CHECK",
    "INSERT_VERSION",
    "SELECT_BY_KEY",
    "SELECT_ENTRIES",
    "SELECT_ENTRY_RANGE",
    "SELECT_EXECUTION",
    "SELECT_KEY_CHECK",
    "SELECT_KEY_CHECKS",
    "SELECT_OWNERS",
    "SELECT_REQUESTS",
    "SELECT_REQUESTS_OF_OWNER",
    "SELECT_SEQS",
    "SELECT_STRAYS",
    "SELECT_STRAYS_OF",
    "SELECT_VERSION",
    "numbered",
]


@cache
def numbered(text: str) -> str:
    """The same with `$1`, `$2`, … in the places of the parameters."""
    first, *rest = text.split("?")
    return first + "".join(f"${number}{part}" for number, part in zip(count(1), rest, strict=False))


SELECT_ENTRIES: Final = (
    f"SELECT {ENTRY} FROM durable_journal WHERE execution_id = ? ORDER BY entry_no"
)
_PAGE: Final = "WHERE execution_id = ? AND entry_no > ? ORDER BY entry_no LIMIT ?"
SELECT_ENTRY_RANGE: Final = f"SELECT {ENTRY} FROM durable_journal {_PAGE}"
SELECT_SEQS: Final = f"SELECT seq FROM durable_journal {_PAGE}"

SELECT_EXECUTION: Final = f"SELECT {EXECUTION} FROM durable_executions WHERE execution_id = ?"
SELECT_BY_KEY: Final = (
    "SELECT execution_id FROM durable_execution_keys WHERE workflow = ? AND execution_key = ?"
)
CLAIM: Final = (
    "UPDATE durable_executions SET owner_id = ?, owner_epoch = owner_epoch + 1, updated_at = ? "
    f"WHERE execution_id = ? AND owner_epoch = ? AND status = ? RETURNING {EXECUTION}"
)
SELECT_OWNERS: Final = (
    "SELECT owner_id, workflow, key_id, count(*) FROM durable_executions "
    "WHERE status = 'running' AND finalized_at IS NULL GROUP BY owner_id, workflow, key_id"
)

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

# One statement, so that all of it is of one moment.
_STRAYS: Final = """
SELECT DISTINCT 'entries' AS kind, t.execution_id FROM durable_journal AS t
    WHERE {only} AND NOT EXISTS
        (SELECT 1 FROM durable_executions AS e WHERE e.execution_id = t.execution_id)
UNION ALL
SELECT DISTINCT 'requests', t.execution_id FROM durable_inbox AS t
    WHERE {only} AND NOT EXISTS
        (SELECT 1 FROM durable_executions AS e WHERE e.execution_id = t.execution_id)
UNION ALL
SELECT 'keys', t.execution_id FROM durable_execution_keys AS t
    LEFT JOIN durable_executions AS e ON e.execution_id = t.execution_id
    WHERE {only} AND (e.execution_key IS NULL OR e.execution_key <> t.execution_key
        OR e.workflow <> t.workflow)
LIMIT ?
"""
SELECT_STRAYS: Final = _STRAYS.format(only="TRUE")
SELECT_STRAYS_OF: Final = _STRAYS.format(only="t.execution_id = ?")

SELECT_VERSION: Final = "SELECT coalesce(max(version), 0) FROM durable_schema"
INSERT_VERSION: Final = "INSERT INTO durable_schema (version, applied_at) VALUES (?, ?)"
