-- Version 3: no index over idempotency keys. They are compared among the rows of one execution, which
-- are read by their number; each row that had a key cost a page of its index in its commit.

DROP INDEX durable_journal_idem_key;
