"""The stored schema, column by column, and the settings of the file."""

from __future__ import annotations

import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from durable_core.contracts import Durability, InboxRow
from durable_core.model.entries import JournalRow
from durable_core.model.execution import ExecutionRow

COLUMNS = {
    "durable_schema": ["version INTEGER!", "applied_at INTEGER!"],
    "durable_executions": [
        "execution_id BLOB!",
        "workflow TEXT!",
        "execution_key TEXT",
        "kind TEXT!",
        "status TEXT!",
        "generation INTEGER!",
        "key_id INTEGER",
        "sealed INTEGER!",
        "stamped INTEGER!",
        "owner_id TEXT!",
        "owner_epoch INTEGER!",
        "entry_count INTEGER!",
        "head_hmac BLOB",
        "anchor_mac BLOB",
        "created_at INTEGER!",
        "updated_at INTEGER!",
        "finalized_at INTEGER",
    ],
    "durable_execution_keys": ["workflow TEXT!", "execution_key TEXT!", "execution_id BLOB!"],
    "durable_journal": [
        "seq INTEGER",
        "execution_id BLOB!",
        "entry_no INTEGER!",
        "generation INTEGER!",
        "step_id TEXT!",
        "entry_kind INTEGER!",
        "fingerprint BLOB",
        "idem_key BLOB",
        "effect_class INTEGER!",
        "detail BLOB",
        "payload BLOB",
        "payload_version INTEGER!",
        "hmac BLOB",
        "created_at INTEGER!",
    ],
    "durable_inbox": [
        "execution_id BLOB!",
        "slot TEXT!",
        "kind TEXT!",
        "payload BLOB",
        "created_at INTEGER!",
    ],
    "durable_keys": ["key_id INTEGER!", "check BLOB!"],
}

INDEXES = {
    "durable_executions_status": (0, 0, ["status", "finalized_at"]),
    "durable_journal_entry_no": (1, 0, ["execution_id", "entry_no"]),
    "durable_journal_closes": (1, 1, ["execution_id", "generation", "step_id"]),
    "durable_journal_idem_key": (0, 1, ["execution_id", "idem_key"]),
}


@pytest.fixture
async def raw(opener):  # type: ignore[no-untyped-def]
    await (await opener()).close()
    with closing(sqlite3.connect(opener.path)) as connection:
        yield connection
