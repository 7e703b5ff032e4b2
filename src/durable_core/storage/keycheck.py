"""The check of the key that is written under: stored with what is the first to need it.

Opening a journal stores nothing, so that a key which was a mistake does not take its id with it.
"""

from __future__ import annotations

from attrs import define, field

from durable_core.errors import EntryRejected

__all__ = ["KeyCheck", "require_same"]


@define
class KeyCheck:
    """What `announce_key` was told, until a transaction that stored it has committed.

    A backend looks at `waiting` in the transaction, and calls `committed` with that behind it.
    """

    waiting: tuple[int, bytes] | None = field(default=None, repr=False)

    def announce(self, key_id: int, check: bytes) -> None:
        """Let the next transaction with a start or a payload store it."""
        self.waiting = (key_id, check)

    def committed(self, stored: tuple[int, bytes] | None) -> None:
        """`stored` need not be stored again; what was announced since still has to."""
        if self.waiting == stored:
            self.waiting = None


def require_same(key_id: int, check: bytes, stored: object) -> None:
    """`EntryRejected` if the id has another check by now; nothing may be written then."""
    if stored != check:
        message = (
            f"key id {key_id} has been used with other key bytes since this journal was opened; "
            "configure the right key, or give the new key an id of its own"
        )
        raise EntryRejected(message)
