-- The journal, version 1. Times are milliseconds since 1970 UTC.

CREATE TABLE durable_schema (
    version INTEGER NOT NULL PRIMARY KEY,
    applied_at INTEGER NOT NULL
) STRICT;

CREATE TABLE durable_executions (
    execution_id BLOB NOT NULL PRIMARY KEY CHECK (length(execution_id) = 16),
    workflow TEXT NOT NULL,
    execution_key TEXT,
    kind TEXT NOT NULL,
    status TEXT NOT NULL
        CHECK (status IN ('running', 'blocked', 'completed', 'failed', 'aborted', 'cancelled')),
    generation INTEGER NOT NULL CHECK (generation >= 0),
    key_id INTEGER CHECK (key_id BETWEEN 1 AND 255),
    sealed INTEGER NOT NULL CHECK (sealed IN (0, 1)),
    stamped INTEGER NOT NULL CHECK (stamped IN (0, 1)),
    owner_id TEXT NOT NULL,
    owner_epoch INTEGER NOT NULL,
    entry_count INTEGER NOT NULL CHECK (entry_count >= 0),
    head_hmac BLOB,
    anchor_mac BLOB,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    finalized_at INTEGER,
    CHECK (finalized_at IS NULL OR status NOT IN ('running', 'blocked'))
) STRICT, WITHOUT ROWID;

CREATE INDEX durable_executions_status ON durable_executions (status, finalized_at);

CREATE TABLE durable_execution_keys (
    workflow TEXT NOT NULL,
    execution_key TEXT NOT NULL,
    execution_id BLOB NOT NULL REFERENCES durable_executions (execution_id) ON DELETE CASCADE,
    PRIMARY KEY (workflow, execution_key)
) STRICT, WITHOUT ROWID;

CREATE TABLE durable_journal (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    execution_id BLOB NOT NULL REFERENCES durable_executions (execution_id) ON DELETE CASCADE,
    entry_no INTEGER NOT NULL CHECK (entry_no > 0),
    generation INTEGER NOT NULL CHECK (generation >= 0),
    step_id TEXT NOT NULL,
    entry_kind INTEGER NOT NULL CHECK (entry_kind BETWEEN 1 AND 11),
    fingerprint BLOB,
    idem_key BLOB,
    effect_class INTEGER NOT NULL CHECK (effect_class BETWEEN 0 AND 3),
    detail BLOB,
    payload BLOB,
    payload_version INTEGER NOT NULL,
    hmac BLOB,
    created_at INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX durable_journal_entry_no ON durable_journal (execution_id, entry_no);

-- A step of a generation is closed at most once: by its result (3) or its failure (4).
CREATE UNIQUE INDEX durable_journal_closes ON durable_journal (execution_id, generation, step_id)
    WHERE entry_kind IN (3, 4);

CREATE INDEX durable_journal_idem_key ON durable_journal (execution_id, idem_key)
    WHERE idem_key IS NOT NULL;

CREATE TABLE durable_inbox (
    execution_id BLOB NOT NULL REFERENCES durable_executions (execution_id) ON DELETE CASCADE,
    slot TEXT NOT NULL,
    kind TEXT NOT NULL,
    payload BLOB,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (execution_id, slot)
) STRICT, WITHOUT ROWID;

CREATE TABLE durable_keys (
    key_id INTEGER NOT NULL PRIMARY KEY CHECK (key_id BETWEEN 1 AND 255),
    "check" BLOB NOT NULL
) STRICT;
