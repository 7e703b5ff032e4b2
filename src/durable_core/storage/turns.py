"""How a thread that commits and the event loop share the interpreter, which only one can have.

For a driver whose long statements leave the interpreter to others. Between two of them its thread
waits for it, and behind a batch the event loop has hundreds of callers to wake. So the event loop
stands still until the thread begins a long statement, does then what it has to, and during the next
one what it can do ahead.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Self

from durable_core.contracts.exchange import CommitBatch

__all__ = ["Turns", "is_large"]

_MANY: Final = 32
"""Rows for which a statement takes longer than to hand the interpreter over."""

_BEGUN_WITHIN_S: Final = 0.002


def is_large(batch: CommitBatch) -> bool:
    """Whether the event loop has time for something else while the database is at work on it."""
    return len(batch.rows) >= _MANY


class Turns:
    """Those of one batch of many rows. Of a small one nobody waits, and nothing is done ahead."""

    __slots__ = ("_begun", "_given", "_loop", "_meanwhile")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, meanwhile: Callable[[], None] | None
    ) -> None:
        self._loop = loop
        self._meanwhile = meanwhile
        self._given = 0
        self._begun = threading.Lock()
        self._begun.acquire()

    @classmethod
    def over(cls, batch: CommitBatch) -> Self | None:
        """Those of `batch`, None where it is small."""
        if not is_large(batch):
            return None
        return cls(asyncio.get_running_loop(), batch.meanwhile)

    def wait(self) -> None:
        """The event loop: stand still until the first long statement, for at most 2 ms."""
        self._begun.acquire(timeout=_BEGUN_WITHIN_S)

    def give(self, rows: int) -> None:
        """The thread: what is next takes as long as a statement for so many rows.

        With the first that is long the event loop goes on, with the second it works ahead.
        """
        if rows < _MANY:
            return
        if self._given == 0:
            self._begun.release()
        elif self._given == 1 and self._meanwhile is not None:
            with suppress(RuntimeError):  # a loop that is closed has nothing to do ahead
                self._loop.call_soon_threadsafe(self._meanwhile)
        self._given += 1
