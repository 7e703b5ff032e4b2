"""Every SQL text that is Postgres alone, constant, with columns in table order."""

# ruff: noqa: S608 - what is interpolated here are constants of this file, and only those

from __future__ import annotations

from typing import Final

from durable_core.storage import texts
from durable_core.storage.tables import ENTRY, EXECUTION, PROMISE, REQUEST, TIMER

_TYPES: Final = (
    "bytea bigint text bigint text bigint bigint bytea bytea bigint bigint",
    (
        "bytea text text text text bigint smallint boolean boolean "
        "text bigint bigint bytea bytea bigint bigint bigint"
    ),
    "bytea bigint bigint text smallint bytea bytea smallint bytea bytea integer bytea bigint",
    "bytea bytea text bytea bytea bigint",
    "bytea text bigint",
    "bytea text",
    "bytea bytea",
)
"""Of changes, starts, rows, promises, timers, what is disarmed, and successions."""

COLUMNS: Final = tuple(len(types.split()) for types in _TYPES)


def _arrays(part: int) -> str:
    """The parameters of an `unnest` of that part, numbered behind those of the parts before."""
    first = 1 + sum(COLUMNS[:part])
    return ", ".join(f"${n}::{kind}[]" for n, kind in enumerate(_TYPES[part].split(), first))


_WHERE_APPLIED: Final = "WHERE execution_id IN (SELECT execution_id FROM applied)"


def _applied(part: int, columns: str) -> str:
    """The rows of that part that belong to what applied."""
    return f"SELECT {columns} FROM unnest({_arrays(part)}) AS n ({columns}) {_WHERE_APPLIED}"


# One statement, and so one transaction and one round trip: lock and change the executions whose
# fence holds, claim the keys of those that start, and insert the rows of what applied, in order.
# `locked` waits for a claim that is open and looks at the row again when it has committed. The
# fence is compared in a form that fits no index: while the tables have no statistics, the planner
# takes the index of the statuses for the better one, and reads all that runs for each change.
# What continues an execution starts where the change of that one applied, and takes its key.
_APPEND: Final = f"""
WITH changes AS (
    SELECT * FROM unnest({_arrays(0)})
        AS c (execution_id, owner_epoch, expected_status, expected_count, new_status,
              new_generation, new_count, new_head, new_anchor, new_updated, new_finalized)
), locked AS (
    SELECT c.* FROM changes AS c JOIN durable_executions AS e USING (execution_id)
        WHERE (e.owner_epoch, e.status, e.entry_count)
            IS NOT DISTINCT FROM (c.owner_epoch, c.expected_status, c.expected_count)
        ORDER BY execution_id FOR UPDATE OF e
), changed AS (
    UPDATE durable_executions AS e
        SET status = c.new_status, generation = c.new_generation, entry_count = c.new_count,
            head_hmac = c.new_head, anchor_mac = c.new_anchor, updated_at = c.new_updated,
            finalized_at = c.new_finalized
        FROM locked AS c WHERE e.execution_id = c.execution_id
        RETURNING e.execution_id
), starts AS (
    SELECT * FROM unnest({_arrays(1)})
        WITH ORDINALITY AS s ({EXECUTION}, place){{new}}
), keyed AS (
    INSERT INTO durable_execution_keys (workflow, execution_key, execution_id)
        SELECT workflow, execution_key, execution_id FROM starts
            WHERE execution_key IS NOT NULL ORDER BY workflow, execution_key, place
        ON CONFLICT (workflow, execution_key) DO NOTHING
        RETURNING execution_id
), started AS (
    INSERT INTO durable_executions ({EXECUTION})
        SELECT {EXECUTION} FROM starts
            WHERE execution_key IS NULL OR execution_id IN (SELECT execution_id FROM keyed){{heirs}}
        RETURNING execution_id
), applied AS (
    SELECT execution_id FROM changed UNION ALL SELECT execution_id FROM started
), written AS (
    INSERT INTO durable_journal ({ENTRY})
        SELECT {ENTRY}
            FROM unnest({_arrays(2)})
                WITH ORDINALITY AS r ({ENTRY}, place)
            {_WHERE_APPLIED}
            ORDER BY place
        RETURNING execution_id, entry_no, seq
){{rest}}
SELECT a.execution_id, w.entry_no, w.seq, NULL::bytea AS holder
    FROM applied AS a LEFT JOIN written AS w USING (execution_id)
UNION ALL
SELECT s.execution_id, NULL, NULL, k.execution_id
    FROM starts AS s JOIN durable_execution_keys AS k USING (workflow, execution_key)
    WHERE s.execution_id NOT IN (SELECT execution_id FROM keyed)
"""
APPEND: Final = _APPEND.format(new="", heirs="", rest="")
_SUCCESSIONS: Final = f"unnest({_arrays(6)}) AS n (predecessor, execution_id)"
APPEND_ANY: Final = _APPEND.format(
    new=f"""
        WHERE execution_id NOT IN (SELECT execution_id FROM {_SUCCESSIONS})
), heirs AS (
    SELECT * FROM unnest({_arrays(1)}) AS s ({EXECUTION}) JOIN {_SUCCESSIONS} USING (execution_id)
        WHERE predecessor IN (SELECT execution_id FROM changed)""",
    heirs=f" UNION ALL SELECT {EXECUTION} FROM heirs",
    rest=f""", moved AS (
    UPDATE durable_execution_keys AS k SET execution_id = h.execution_id FROM heirs AS h
        WHERE (k.workflow, k.execution_key, k.execution_id)
            = (h.workflow, h.execution_key, h.predecessor)
), promised AS (
    {texts.KEEP_PROMISES.format(rows=_applied(3, PROMISE))}
), armed AS (
    {texts.ARM_TIMERS.format(rows=_applied(4, TIMER))}
), disarmed AS (
    {texts.DISARM_TIMERS.format(rows=_applied(5, "execution_id, timer_id"))}
)""",
)
SELECT_KEYS: Final = (
    "SELECT k.workflow, k.execution_key, k.execution_id FROM durable_execution_keys AS k "
    "JOIN unnest($1::text[], $2::text[]) AS v (workflow, execution_key) "
    "USING (workflow, execution_key)"
)

# --- read

# The sequence remembers what was assigned, also when its row is pruned.
SELECT_MAX_SEQ: Final = (
    "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM durable_journal_seq_seq"
)
SELECT_HEADS: Final = (
    f"SELECT {EXECUTION} FROM durable_executions WHERE execution_id = ANY($1::bytea[])"
)
LIST: Final = (
    f"SELECT {EXECUTION} FROM durable_executions "
    "WHERE ($1::text[] IS NULL OR status = ANY($1::text[])) AND execution_id > $2 "
    "AND ($3::text IS NULL OR workflow = $3) ORDER BY execution_id LIMIT $4"
)
# --- ownership, keys, inbox

INSERT_REQUEST: Final = (
    f"INSERT INTO durable_inbox ({REQUEST}) SELECT $1, $2, $3, $4, $5 "
    "WHERE EXISTS (SELECT FROM durable_executions WHERE execution_id = $1 FOR KEY SHARE) "
    "ON CONFLICT (execution_id, slot) DO NOTHING RETURNING 1"
)
DELETE_REQUEST: Final = "DELETE FROM durable_inbox WHERE execution_id = $1 AND slot = $2"
# What is locked is being claimed or changed: whoever asks beside passes it over, and both share.
CLAIM_WAITING: Final = f"""
WITH waiting AS (
    SELECT execution_id FROM durable_executions
        WHERE status = 'running' AND finalized_at IS NULL AND owner_id = ANY($3::text[])
            AND workflow = ANY($4::text[]) AND (key_id IS NULL OR key_id = ANY($5::integer[]))
            AND execution_id <> ALL($6::bytea[])
        ORDER BY execution_id LIMIT $7 FOR UPDATE SKIP LOCKED
)
UPDATE durable_executions SET owner_id = $1, owner_epoch = owner_epoch + 1, updated_at = $2
    WHERE execution_id IN (SELECT execution_id FROM waiting)
        AND status = 'running' AND owner_id = ANY($3::text[])
    RETURNING {EXECUTION}
"""
PROBE: Final = "UPDATE durable_schema SET applied_at = applied_at WHERE version = 1"

# --- prune: what is as it was is locked, and still is when it goes

_GONE: Final = "SELECT execution_id FROM executions"
PRUNE: Final = f"""
WITH chosen AS (
    SELECT e.execution_id FROM durable_executions AS e
        JOIN unnest($1::bytea[], $2::text[], $3::bigint[], $4::bigint[])
            AS a (execution_id, status, owner_epoch, finalized_at)
            USING (execution_id, status, owner_epoch, finalized_at)
        FOR UPDATE OF e SKIP LOCKED
), executions AS (
    DELETE FROM durable_executions WHERE execution_id IN (SELECT execution_id FROM chosen)
        RETURNING execution_id, workflow, execution_key
), keys AS (
    {texts.PRUNE_KEYS.format(rows="SELECT * FROM executions")}
), {", ".join(f"o{n} AS ({text.format(rows=_GONE)})" for n, text in enumerate(texts.PRUNE_OWNED))}
{_GONE}
"""

# --- sessions: `SET` behind the startup, since poolers refuse settings in the startup packet

# So that the server notices the loss of this host within eleven seconds, and frees its locks. While
# something that was sent to it is not confirmed there are no keepalives, and the timeout counts.
_EVERY_SESSION: Final = """
    set_config('application_name', 'durable-core', false),
    set_config('lock_timeout', $1, false),
    set_config('statement_timeout', '0', false),
    set_config('idle_session_timeout', '0', false),
    set_config('tcp_keepalives_idle', '5', false),
    set_config('tcp_keepalives_interval', '2', false),
    set_config('tcp_keepalives_count', '3', false),
    set_config('tcp_user_timeout', '11000', false)
"""
# A plan that is made while the tables are small, and kept, reads whole tables when they have grown;
# planning each batch anew takes half a millisecond at most.
WRITER_SETTINGS: Final = f"""
SELECT {_EVERY_SESSION},
    set_config('plan_cache_mode', 'force_custom_plan', false),
    set_config('jit', 'off', false),
    set_config('default_transaction_isolation', 'read committed', false),
    set_config('idle_in_transaction_session_timeout', '10s', false),
    set_config('synchronous_commit', CASE
        WHEN NOT $2::boolean THEN 'off'
        WHEN current_setting('synchronous_commit') = 'remote_apply' THEN 'remote_apply'
        ELSE 'on' END, false)
"""
SESSION_SETTINGS: Final = f"SELECT {_EVERY_SESSION}"
BACKEND: Final = "SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()"
BACKEND_PID: Final = "SELECT pg_backend_pid()"
# The start is compared, so that a pid which another session has by now is never hit.
END_BACKEND: Final = (
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
    "WHERE pid = $1 AND backend_start = $2 AND pid <> pg_backend_pid()"
)

LOCK_OWNER: Final = "SELECT pg_try_advisory_lock(hashtextextended($1, 7160))"
# In a transaction of its own, so that the shared lock is gone when the statement is.
PROBE_OWNER: Final = "SELECT pg_try_advisory_xact_lock_shared(hashtextextended($1, 7160))"
EVICT_OWNER: Final = """
SELECT pg_terminate_backend(pid, 5000)
    FROM pg_locks AS l, hashtextextended($1, 7160) AS h (key)
    WHERE l.locktype = 'advisory' AND l.mode = 'ExclusiveLock' AND l.granted AND l.objsubid = 1
        AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND l.classid::bigint = (h.key >> 32) & 4294967295
        AND l.objid::bigint = h.key & 4294967295
"""

# The name of a channel is short, and two journals in two schemas do not share one.
CHANNEL: Final = "SELECT 'durable_' || to_hex(hashtextextended(current_schema(), 7160))"
NOTIFY: Final = "SELECT pg_notify($1, payload) FROM unnest($2::text[]) AS p (payload)"
HEARTBEAT: Final = "SELECT 1"

# --- identity and migration

LOCK_MIGRATION: Final = "SELECT pg_advisory_xact_lock(7160, 1)"
# What the role's statements may take is not meant for these: an open has its own limit.
WAIT_FOR_MIGRATION: Final = "SET LOCAL lock_timeout = '10s'; SET LOCAL statement_timeout = 0"
# Tables that belong to an extension, and the parts of a partitioned one, say nothing about whose
# the schema is.
SELECT_TABLES: Final = (
    "SELECT c.relname FROM pg_class AS c WHERE c.relnamespace = current_schema()::regnamespace "
    "AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND NOT EXISTS (SELECT FROM pg_depend "
    "AS d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')"
)
SELECT_SCHEMA: Final = "SELECT current_schema()"
