"""Every SQL text that is SQLite alone, constant, with columns in table order.

A text that handles many rows is a `Many`.
"""

# ruff: noqa: S608 - what is interpolated here are constants of this file, and only those

from __future__ import annotations

from typing import Final

from durable_core.storage import texts
from durable_core.storage.many import Many
from durable_core.storage.tables import ENTRY, EXECUTION, REQUEST

BEGIN: Final = "BEGIN IMMEDIATE"
COMMIT: Final = "COMMIT"
ROLLBACK: Final = "ROLLBACK"

# --- append

INSERT_EXECUTIONS: Final = Many(
    f"INSERT INTO durable_executions ({EXECUTION}) {{rows}}", 17, passes_nulls=False
)
INSERT_KEYS: Final = Many(
    "INSERT INTO durable_execution_keys (workflow, execution_key, execution_id) {rows}",
    3,
    passes_nulls=False,
)

# CROSS JOIN fixes the order of the loops: SQLite would read all keys to look for a row value.
SELECT_KEYS: Final = Many(
    "SELECT k.workflow, k.execution_key, k.execution_id FROM ({rows}) AS v "
    "CROSS JOIN durable_execution_keys AS k "
    "ON k.workflow = v.column1 AND k.execution_key = v.column2",
    2,
)

INSERT_ENTRIES: Final = Many(
    f"INSERT INTO durable_journal ({ENTRY}) {{rows}}", 13, passes_nulls=False
)

KEEP_PROMISES: Final = Many(texts.KEEP_PROMISES, 6, passes_nulls=False)
ARM_TIMERS: Final = Many(texts.ARM_TIMERS, 3, passes_nulls=False)
DISARM_TIMERS: Final = Many(texts.DISARM_TIMERS, 2)

_FENCE: Final = "execution_id = ? AND owner_epoch = ? AND status = ? AND entry_count = ?"
_FENCE_OF_V: Final = (
    "FROM ({rows}) AS v WHERE e.execution_id = v.column1 AND e.owner_epoch = v.column2 "
    "AND e.status = v.column3 AND e.entry_count = v.column4"
)

# An execution that keeps its status keeps its place in the index over (status, finalized_at); a
# statement that does not name these columns leaves the index's pages alone.
ADVANCE: Final = (
    "UPDATE durable_executions SET generation = ?, entry_count = ?, head_hmac = ?, "
    f"anchor_mac = ?, updated_at = ? WHERE {_FENCE}"
)
CHANGE: Final = (
    "UPDATE durable_executions SET status = ?, generation = ?, entry_count = ?, head_hmac = ?, "
    f"anchor_mac = ?, updated_at = ?, finalized_at = ? WHERE {_FENCE}"
)
ADVANCE_MANY: Final = Many(
    "UPDATE durable_executions AS e SET generation = v.column5, entry_count = v.column6, "
    f"head_hmac = v.column7, anchor_mac = v.column8, updated_at = v.column9 {_FENCE_OF_V}",
    9,
)
CHANGE_MANY: Final = Many(
    "UPDATE durable_executions AS e SET status = v.column5, generation = v.column6, "
    "entry_count = v.column7, head_hmac = v.column8, anchor_mac = v.column9, "
    f"updated_at = v.column10, finalized_at = v.column11 {_FENCE_OF_V}",
    11,
)

# --- read

# AUTOINCREMENT remembers the largest seq that was ever assigned, also when its row is pruned.
SELECT_MAX_SEQ: Final = "SELECT max(seq) FROM sqlite_sequence WHERE name = 'durable_journal'"

SELECT_HEADS: Final = Many(
    f"SELECT {EXECUTION} FROM durable_executions WHERE execution_id IN ({{rows}})", 1
)
# The two lists by status take the same parameters. What has not ended is little and stands
# together in the index over (status, finalized_at); a list of anything else walks the primary key,
# whose order it wants, and the unary plus keeps SQLite from sorting by way of that index.
# Text is bound as bytes and cast, so that a filter finds also what is no UTF-8.
_PAGE: Final = (
    "execution_id > ? AND (? IS NULL OR workflow = CAST(? AS TEXT)) ORDER BY execution_id LIMIT ?"
)
LIST_ACTIVE: Final = (
    f"SELECT {EXECUTION} FROM durable_executions "
    f"WHERE status IN (?, ?, ?, ?, ?, ?) AND finalized_at IS NULL AND {_PAGE}"
)
LIST_ANY: Final = (
    f"SELECT {EXECUTION} FROM durable_executions WHERE +status IN (?, ?, ?, ?, ?, ?) AND {_PAGE}"
)

LIST_ALL: Final = f"SELECT {EXECUTION} FROM durable_executions WHERE {_PAGE}"

# --- ownership, keys, inbox

# Lists are bound as JSON: how many owners, workflows or keys there are changes no text.
CLAIM_WAITING: Final = (
    "UPDATE durable_executions SET owner_id = ?, owner_epoch = owner_epoch + 1, "
    "updated_at = ? WHERE execution_id IN (SELECT execution_id FROM durable_executions "
    "WHERE status = 'running' AND finalized_at IS NULL "
    "AND owner_id IN (SELECT value FROM json_each(?)) "
    "AND workflow IN (SELECT value FROM json_each(?)) "
    "AND (key_id IS NULL OR key_id IN (SELECT value FROM json_each(?))) "
    "AND lower(hex(execution_id)) NOT IN (SELECT value FROM json_each(?)) "
    f"ORDER BY execution_id LIMIT ?) RETURNING {EXECUTION}"
)

INSERT_REQUEST: Final = (
    f"INSERT INTO durable_inbox ({REQUEST}) VALUES (?, ?, ?, ?, ?) "
    "ON CONFLICT (execution_id, slot) DO NOTHING RETURNING 1"
)
DELETE_REQUEST: Final = (
    "DELETE FROM durable_inbox WHERE execution_id = ? AND slot = CAST(? AS TEXT)"
)
# --- prune

PRUNE: Final = Many(texts.PRUNE, 4)
PRUNE_KEYS: Final = Many(texts.PRUNE_KEYS, 3)
PRUNE_OWNED: Final = tuple(Many(text, 1) for text in texts.PRUNE_OWNED)

# --- identity and migration

SELECT_TABLES: Final = (
    "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
)
BEGIN_EXCLUSIVE: Final = "BEGIN EXCLUSIVE"

# --- settings of a connection

APPLICATION_ID: Final = 0x44555231
"""`DUR1` in the header of the file; `file(1)` and we tell a journal from other databases by it."""

GET_APPLICATION_ID: Final = "PRAGMA application_id"
SET_APPLICATION_ID: Final = f"PRAGMA application_id = {APPLICATION_ID}"
# Setting it again writes its page, so a full disk shows; an `UPDATE` that changes nothing does not.
PROBE: Final = SET_APPLICATION_ID
# Must be set before the first page is written. Of a file that was made without, nothing is given
# back; what pruning leaves free in it is used again.
INCREMENTAL_VACUUM: Final = "PRAGMA auto_vacuum = INCREMENTAL"
# 1 MiB. A commit waits while it runs, and it moves as many pages from the end of the file.
RECLAIM: Final = "PRAGMA incremental_vacuum(256)"
CHECKPOINT: Final = "PRAGMA wal_checkpoint(PASSIVE)"
SOME_FREE: Final = (
    "SELECT 1 FROM pragma_freelist_count, pragma_auto_vacuum "
    "WHERE freelist_count > 0 AND auto_vacuum = 2"
)
GET_JOURNAL_MODE: Final = "PRAGMA journal_mode"
SET_WAL: Final = "PRAGMA journal_mode = WAL"
SYNCHRONOUS: Final = {"full": "PRAGMA synchronous = FULL", "normal": "PRAGMA synchronous = NORMAL"}
FOREIGN_KEYS: Final = "PRAGMA foreign_keys = ON"
NO_FOREIGN_KEYS: Final = "PRAGMA foreign_keys = OFF"
READ_ONLY: Final = "PRAGMA query_only = ON"
# What a statement for many rows changes is noted for the case that it fails half-way: by default in
# a file, beyond 64 KiB. No crash reads that file; the transaction is what the WAL decides.
TEMP_IN_MEMORY: Final = "PRAGMA temp_store = MEMORY"
CACHE_32_MIB: Final = "PRAGMA cache_size = -32768"
# A checkpoint stalls the commit that meets the limit. With 32 MiB one commit in about 1,200 meets
# it, so that it stays out of the 99th percentile of a workflow that makes a handful of commits.
CHECKPOINT_AT_32_MIB: Final = "PRAGMA wal_autocheckpoint = 8192"
