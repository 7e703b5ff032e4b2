"""The check of the key that is written under: stored with what is the first to need it.

Opening a journal stores nothing, so that a key which was a mistake does not take its id with it.
"""

from __future__ import annotations

import sqlite3

from attrs import define, field

from durable_core.errors import EntryRejected
from durable_sqlite import _sql

__all__ = ["KeyCheck"]


@define
class KeyCheck:
    """What `announce_key` was told, until it is stored. Used on the write connection's thread."""

    _waiting: tuple[int, bytes] | None = field(default=None, repr=False)

    def announce(self, key_id: int, check: bytes) -> None:
        """Let the next transaction store it."""
        self._waiting = (key_id, check)

    def store(self, connection: sqlite3.Connection) -> None:
        """Store it in the transaction that is open; `EntryRejected` if the id has another check."""
        if self._waiting is None:
            return
        key_id, check = self._waiting
        connection.execute(_sql.INSERT_KEY_CHECK, (key_id, check))
        (stored,) = connection.execute(_sql.SELECT_KEY_CHECK, (key_id,)).fetchone()
        if stored != check:
            message = (
                f"key id {key_id} has been used with other key bytes since this journal was "
                "opened; configure the right key, or give the new key an id of its own"
            )
            raise EntryRejected(message)

    def committed(self) -> None:
        """The transaction has committed: nothing is left to be stored."""
        self._waiting = None
