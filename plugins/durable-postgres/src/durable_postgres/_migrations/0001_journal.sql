-- The journal, version 1. Times are milliseconds since 1970 UTC. Every unique index is led by the
-- column that its table would be partitioned or distributed by: execution_id, for keys workflow.
-- No foreign keys: those between differently distributed tables could not be kept, and every batch
-- would lock its executions' rows twice.

CREATE TABLE durable_schema (
    version INTEGER NOT NULL PRIMARY KEY,
    applied_at BIGINT NOT NULL
);

-- Each batch changes its executions' heads. Where a page has room for the new version, the indexes
-- stay as they are.
CREATE TABLE durable_executions (
    execution_id BYTEA NOT NULL PRIMARY KEY CHECK (octet_length(execution_id) = 16),
    workflow TEXT NOT NULL,
    execution_key TEXT,
    kind TEXT NOT NULL,
    status TEXT NOT NULL
        CHECK (status IN ('running', 'blocked', 'completed', 'failed', 'aborted', 'cancelled')),
    generation BIGINT NOT NULL CHECK (generation >= 0),
    key_id SMALLINT CHECK (key_id BETWEEN 1 AND 255),
    sealed BOOLEAN NOT NULL,
    stamped BOOLEAN NOT NULL,
    owner_id TEXT NOT NULL,
    owner_epoch BIGINT NOT NULL,
    entry_count BIGINT NOT NULL CHECK (entry_count >= 0),
    head_hmac BYTEA,
    anchor_mac BYTEA,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    finalized_at BIGINT,
    CHECK (finalized_at IS NULL OR status NOT IN ('running', 'blocked'))
) WITH (fillfactor = 70);

CREATE INDEX durable_executions_status ON durable_executions (status, finalized_at);

-- What runs, in the order in which it is claimed: without it, a claim among many that wait reads
-- whatever has ended before.
CREATE INDEX durable_executions_running ON durable_executions (execution_id)
    WHERE status = 'running' AND finalized_at IS NULL;

CREATE TABLE durable_execution_keys (
    workflow TEXT NOT NULL,
    execution_key TEXT NOT NULL,
    execution_id BYTEA NOT NULL,
    PRIMARY KEY (workflow, execution_key)
);

CREATE TABLE durable_journal (
    seq BIGINT GENERATED ALWAYS AS IDENTITY,
    execution_id BYTEA NOT NULL,
    entry_no BIGINT NOT NULL CHECK (entry_no > 0),
    generation BIGINT NOT NULL CHECK (generation >= 0),
    step_id TEXT NOT NULL,
    entry_kind SMALLINT NOT NULL CHECK (entry_kind BETWEEN 1 AND 11),
    fingerprint BYTEA,
    idem_key BYTEA,
    effect_class SMALLINT NOT NULL CHECK (effect_class BETWEEN 0 AND 3),
    detail BYTEA,
    payload BYTEA,
    payload_version INTEGER NOT NULL,
    hmac BYTEA,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (execution_id, entry_no)
);

-- A step of a generation is closed at most once: by its result (3) or its failure (4).
CREATE UNIQUE INDEX durable_journal_closes ON durable_journal (execution_id, generation, step_id)
    WHERE entry_kind IN (3, 4);

CREATE INDEX durable_journal_idem_key ON durable_journal (execution_id, idem_key)
    WHERE idem_key IS NOT NULL;

CREATE TABLE durable_inbox (
    execution_id BYTEA NOT NULL,
    slot TEXT NOT NULL,
    kind TEXT NOT NULL,
    payload BYTEA,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (execution_id, slot)
);

CREATE TABLE durable_keys (
    key_id SMALLINT NOT NULL PRIMARY KEY CHECK (key_id BETWEEN 1 AND 255),
    "check" BYTEA NOT NULL
);
