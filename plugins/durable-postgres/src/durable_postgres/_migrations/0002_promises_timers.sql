-- Version 2: where a promise is, for whoever resolves it, and when a timer is due. Look-ups: what is
-- true is in the journal. As in version 1, keys are led by the column of the partitions.

CREATE TABLE durable_promises (
    promise_id BYTEA NOT NULL CHECK (octet_length(promise_id) = 16),
    execution_id BYTEA NOT NULL,
    name TEXT NOT NULL,
    token_hash BYTEA NOT NULL CHECK (octet_length(token_hash) = 32),
    outcome BYTEA CHECK (octet_length(outcome) = 32),
    created_at BIGINT NOT NULL,
    PRIMARY KEY (execution_id, promise_id)
);

-- Not unique, since it is not led by that column; ids are random enough to be one.
CREATE INDEX durable_promises_id ON durable_promises (promise_id);

CREATE TABLE durable_timers (
    execution_id BYTEA NOT NULL,
    timer_id TEXT NOT NULL,
    due_at BIGINT NOT NULL,
    PRIMARY KEY (execution_id, timer_id)
);

CREATE INDEX durable_timers_due ON durable_timers (due_at);
