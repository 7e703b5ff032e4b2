"""The reference: the same rows, schema, indexes and durability, written by hand with `sqlite3`."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

__all__ = ["INSERT", "SETTINGS", "copied", "copy_schema", "plain"]

INSERT: Final = (
    "INSERT INTO durable_journal (execution_id, entry_no, generation, step_id, entry_kind, "
    "fingerprint, idem_key, effect_class, detail, payload, payload_version, hmac, created_at) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)

SETTINGS: Final = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA cache_size = -32768",
    "PRAGMA wal_autocheckpoint = 8192",
    "PRAGMA temp_store = MEMORY",
)
"""What the backend sets on the connection that commits, so that no setting makes a difference."""


@contextmanager
def copied(journal: Path, copy: Path) -> Iterator[sqlite3.Connection]:
    """A connection on `copy`, new, with the tables, indexes and executions of `journal`."""
    copy_schema(journal, copy)
    with plain(copy) as connection:
        yield connection


def copy_schema(journal: Path, copy: Path) -> None:
    """Everything of a journal but its entries, in a file that is laid out as the backend does."""
    with closing(sqlite3.connect(copy, isolation_level=None)) as target:
        target.execute("PRAGMA auto_vacuum = INCREMENTAL")
        target.execute("PRAGMA journal_mode = WAL")
        target.execute("ATTACH ? AS journal", (str(journal),))
        texts = target.execute(
            "SELECT sql FROM journal.sqlite_master WHERE sql IS NOT NULL AND name LIKE 'durable%'",
        )
        for (text,) in texts.fetchall():
            target.execute(text)
        target.execute("INSERT INTO durable_executions SELECT * FROM journal.durable_executions")


@contextmanager
def plain(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection of our own in autocommit mode, with the backend's settings."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for setting in SETTINGS:
            connection.execute(setting)
        yield connection
