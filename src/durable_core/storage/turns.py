"""How a thread that commits and the event loop share the interpreter, which only one can have.

For a driver whose long statements leave the interpreter to others. Between two of them its thread
waits for it, and behind a batch the event loop has hundreds of callers to wake. So the event loop
goes on when the longest statement does, and what it can do ahead is left for the commit.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Final

from durable_core.contracts.exchange import CommitBatch

__all__ = ["Turns", "meanwhile"]

_MANY: Final = 32
"""Rows that take longer to insert than the event loop may stand still."""

_BEGUN_WITHIN_S: Final = 0.002


def meanwhile(batch: CommitBatch) -> Callable[[], None] | None:
    """What the event loop is to do while the database is at work, if that takes long enough."""
    return batch.meanwhile if len(batch.rows) >= _MANY else None


class Turns:
    """Those of one batch. Of a small one nobody waits, and nothing is done ahead."""

    __slots__ = ("_begun", "_loop", "_meanwhile")

    def __init__(self, batch: CommitBatch) -> None:
        self._loop = asyncio.get_running_loop()
        self._meanwhile = meanwhile(batch)
        self._begun: threading.Lock | None = None
        if len(batch.rows) >= _MANY:
            self._begun = threading.Lock()
            self._begun.acquire()

    def wait(self) -> None:
        """The event loop: stand still until `begin`, for at most 2 ms."""
        if self._begun is not None:
            self._begun.acquire(timeout=_BEGUN_WITHIN_S)

    def begin(self) -> None:
        """The thread: the longest statement is next. Once for each batch."""
        if self._begun is not None:
            self._begun.release()

    def commit(self) -> None:
        """The thread: the commit is next, and with it the wait for the disk."""
        if self._meanwhile is not None:
            self._loop.call_soon_threadsafe(self._meanwhile)
