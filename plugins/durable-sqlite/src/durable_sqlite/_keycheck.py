"""Stores the check of a key in the transaction that is open."""

from __future__ import annotations

import sqlite3

from durable_core.storage import texts
from durable_core.storage.keycheck import require_same

__all__ = ["store_key_check"]


def store_key_check(connection: sqlite3.Connection, waiting: tuple[int, bytes] | None) -> None:
    """Store what was announced, if anything; `EntryRejected` if the id has another check."""
    if waiting is not None:
        key_id, check = waiting
        connection.execute(texts.INSERT_KEY_CHECK, (key_id, check))
        (stored,) = connection.execute(texts.SELECT_KEY_CHECK, (key_id,)).fetchone()
        require_same(key_id, check, stored)
