-- Version 2: where a promise is, for whoever resolves it, and when a timer is due. Look-ups: what is
-- true is in the journal.

CREATE TABLE durable_promises (
    promise_id BLOB NOT NULL CHECK (length(promise_id) = 16),
    execution_id BLOB NOT NULL REFERENCES durable_executions (execution_id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    token_hash BLOB NOT NULL CHECK (length(token_hash) = 32),
    outcome BLOB CHECK (length(outcome) = 32),
    created_at INTEGER NOT NULL,
    PRIMARY KEY (execution_id, promise_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX durable_promises_id ON durable_promises (promise_id);

CREATE TABLE durable_timers (
    execution_id BLOB NOT NULL REFERENCES durable_executions (execution_id) ON DELETE CASCADE,
    timer_id TEXT NOT NULL,
    due_at INTEGER NOT NULL,
    PRIMARY KEY (execution_id, timer_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX durable_timers_due ON durable_timers (due_at);
