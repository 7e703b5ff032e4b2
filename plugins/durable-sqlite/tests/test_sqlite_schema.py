"""The stored schema, column by column, and the settings of the file."""

from __future__ import annotations

import sqlite3
import stat
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from durable_core.contracts import Durability, InboxRow, PromiseRow, TimerRow
from durable_core.model.entries import JournalRow
from durable_core.model.execution import ExecutionRow
from durable_sqlite import LocalBackend

if TYPE_CHECKING:
    from conftest import Opener

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
    "durable_promises": [
        "promise_id BLOB!",
        "execution_id BLOB!",
        "name TEXT!",
        "token_hash BLOB!",
        "outcome BLOB",
        "created_at INTEGER!",
    ],
    "durable_timers": ["execution_id BLOB!", "timer_id TEXT!", "due_at INTEGER!"],
}

INDEXES = {
    "durable_executions_status": (0, 0, ["status", "finalized_at"]),
    "durable_journal_entry_no": (1, 0, ["execution_id", "entry_no"]),
    "durable_journal_closes": (1, 1, ["execution_id", "generation", "step_id"]),
    "durable_promises_id": (0, 0, ["promise_id"]),
    "durable_timers_due": (0, 0, ["due_at"]),
}


async def ask(opener: Opener, text: str) -> list[Any]:
    """Rows of a statement, from a connection that knows nothing of ours."""
    await (await opener()).close()
    with closing(sqlite3.connect(opener.path)) as connection:
        return connection.execute(text).fetchall()


@pytest.mark.parametrize("table", COLUMNS)
async def test_columns_are_those_of_the_journal_format(opener: Opener, table: str) -> None:
    found = await ask(opener, f"PRAGMA table_info({table})")
    assert [f"{name} {kind}{'!' * needed}" for _, name, kind, needed, *_ in found] == COLUMNS[table]


async def test_tables_are_those_of_the_journal_format(opener: Opener) -> None:
    found = await ask(opener, "SELECT name FROM sqlite_master WHERE type = 'table'")
    assert {name for (name,) in found} - {"sqlite_sequence"} == set(COLUMNS)


async def test_indexes_are_those_of_the_journal_format(opener: Opener) -> None:
    tables = await ask(opener, "SELECT name FROM sqlite_master WHERE type = 'table'")
    found = {}
    for (table,) in tables:
        for _, name, unique, origin, partial in await ask(opener, f"PRAGMA index_list({table})"):
            columns = [row[2] for row in await ask(opener, f"PRAGMA index_info({name})")]
            if origin == "c":
                found[name] = (unique, partial, columns)
    assert found == INDEXES


def test_row_types_have_the_columns_in_table_order() -> None:
    names = {table: [column.split()[0] for column in COLUMNS[table]] for table in COLUMNS}
    assert list(ExecutionRow._fields) == names["durable_executions"]
    assert list(JournalRow._fields) == names["durable_journal"][1:]
    assert list(InboxRow._fields) == names["durable_inbox"]
    assert list(PromiseRow._fields) == names["durable_promises"]
    assert list(TimerRow._fields) == names["durable_timers"]


async def test_file_is_private_and_can_give_space_back(opener: Opener) -> None:
    backend = await opener()
    await backend.probe()
    files = [opener.path, *opener.folder.glob("journal.db-*")]
    assert len(files) == 3
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert await ask(opener, "PRAGMA auto_vacuum") == [(2,)]
    assert await ask(opener, "PRAGMA journal_mode") == [("wal",)]


@pytest.mark.parametrize(("durability", "level"), [(Durability.FULL, 2), (Durability.NORMAL, 1)])
async def test_settings_of_the_write_connection(
    opener: Opener,
    durability: Durability,
    level: int,
) -> None:
    backend = await opener(durability=durability, ack_timeout_ms=600)
    found = {
        name: await _setting(backend, name)
        for name in ("synchronous", "foreign_keys", "busy_timeout")
    }
    assert found == {"synchronous": level, "foreign_keys": 1, "busy_timeout": 300}


async def test_lock_wait_is_one_second_at_most(backend: LocalBackend) -> None:
    assert await _setting(backend, "busy_timeout") == 1000


async def _setting(backend: LocalBackend, name: str) -> int:
    value: int = await backend._writer.call(
        lambda connection: connection.execute(f"PRAGMA {name}").fetchone()[0],
    )
    return value
