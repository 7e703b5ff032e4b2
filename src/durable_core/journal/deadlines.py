"""How long acknowledged appends wait: one timer for all of them, since all wait equally long.

Carries the first half of INV-12. A timer for each append would cost more than its row.
"""

from __future__ import annotations

import asyncio
from collections import deque

from durable_core.errors import CommitOutcomeUnknown

__all__ = ["Deadlines"]


class Deadlines:
    """Ends waits that take longer than `limit_ms`. Used by one event loop's thread alone."""

    def __init__(self, limit_ms: int) -> None:
        self._limit_ms = limit_ms
        self._limit = limit_ms / 1000
        self._waiting: deque[asyncio.Future[int]] = deque()
        self._ends: deque[float] = deque()
        """Of the wait for each of `_waiting`."""

        self._timer: asyncio.TimerHandle | None = None

    def watch(self, future: asyncio.Future[int]) -> None:
        """Have `future` raise `CommitOutcomeUnknown` unless it is done within the limit."""
        waiting, ends = self._waiting, self._ends
        while waiting and waiting[0].done():
            # Acknowledgements come in order, so what is done is at the front, all but all of it.
            waiting.popleft()
            ends.popleft()
        loop = future.get_loop()
        deadline = loop.time() + self._limit
        waiting.append(future)
        ends.append(deadline)
        if self._timer is None:
            self._timer = loop.call_at(deadline, self._expire, loop)

    def watch_until(self, deadline: float, future: asyncio.Future[int]) -> asyncio.TimerHandle:
        """As `watch`, by a timer of its own, which the caller cancels: a part of the time is over.

        So an append that waited for room raises what any other does, and counts as told as well.
        """
        return future.get_loop().call_at(deadline, self._end, future)

    def cancel(self) -> None:
        """Watch nothing of `watch` any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._waiting.clear()
        self._ends.clear()

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        waiting, ends = self._waiting, self._ends
        while waiting:
            if not waiting[0].done():
                if ends[0] > loop.time():
                    self._timer = loop.call_at(ends[0], self._expire, loop)
                    return
                self._end(waiting[0])
            waiting.popleft()
            ends.popleft()

    def _end(self, future: asyncio.Future[int]) -> None:
        if not future.done():
            message = (
                f"no acknowledgement within {self._limit_ms} ms; the entry may still be committed"
            )
            future.set_exception(CommitOutcomeUnknown(message))
