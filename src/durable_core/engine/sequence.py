"""The order in which concurrent steps are answered on replay: that of the journal.

Of steps that wait at the same time (`asyncio.gather`, `asyncio.wait`, a `TaskGroup`) the one that
was closed first is answered first, and the program gets time to act on it before the next one is.
So whatever depends on which came first comes out as it did when it was journaled.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Sized
from typing import Final

__all__ = ["LAST", "Sequence"]

LAST: Final = 1 << 62
"""The place of a step that the journal has no answer for: behind all others."""

_TURNS: Final = 12
"""Turns of the event loop from one answer to the next: enough for it to pass through a task, its
callbacks, `gather`, `wait_for` and the task that awaits them."""

_MORE_TURNS: Final = 4
"""For each parallel block that an answer may lead out of."""


class Sequence:
    """One for each run. Used by the event loop's thread alone."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._coming: dict[asyncio.Future[None], int] = {}
        """Who waits from the loop's next turn on, in order, and for which place."""

        self._callbacks = 0
        """How many calls of `_queue` the loop is still to make."""

        self._count = 0
        self._pumping = False
        self._turns = _TURNS

    @property
    def busy(self) -> bool:
        """Whether a step waits for its turn."""
        return self._pumping

    def deepen(self, depth: int) -> None:
        """Parallel blocks are nested so deep from now on."""
        self._turns = max(self._turns, _TURNS + _MORE_TURNS * depth)

    def turn(self, place: int) -> asyncio.Future[None]:
        """Done when every step that waits with a lower `place` has been answered.

        It comes in any case: who is cancelled while it waits for it learns so when it has come. It
        waits from the loop's next turn on, so that what is ready now begins before it.
        """
        loop = asyncio.get_running_loop()
        waiter = _Turn(loop=loop)
        self._coming[waiter] = place
        self._callbacks += 1
        loop.call_soon(self._queue, loop, waiter)
        return waiter

    def _queue(self, loop: asyncio.AbstractEventLoop, waiter: _Turn) -> None:
        self._callbacks -= 1
        place = self._coming.pop(waiter, None)
        if place is None:
            return  # it was let in before
        self._let_in(place, waiter)
        if not self._pumping:
            self._pumping = True
            loop.call_soon(self._pump, loop, self._turns)

    def _let_in(self, place: int, waiter: asyncio.Future[None]) -> None:
        self._count += 1
        heapq.heappush(self._waiting, (place, self._count, waiter))

    def _pump(self, loop: asyncio.AbstractEventLoop, left: int) -> None:
        if self._rests(loop):
            # The next turn would let them in and find nothing else to run.
            for waiter, place in self._coming.items():
                self._let_in(place, waiter)
            self._coming.clear()
        elif left > 0:
            loop.call_soon(self._pump, loop, left - 1)
            return
        if self._waiting:
            _, _, waiter = heapq.heappop(self._waiting)
            waiter.set_result(None)
            loop.call_soon(self._pump, loop, self._turns)
        else:
            self._pumping = False

    def _rests(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Whether nothing else is about to run: then the program has acted on the last answer.

        All that may be is steps that come to wait. asyncio publishes no way to ask; a loop that
        keeps this elsewhere gets all its turns.
        """
        ready: Sized | None = getattr(loop, "_ready", None)
        return ready is not None and len(ready) == self._callbacks


class _Turn(asyncio.Future[None]):
    """One that cannot be cancelled: asyncio then cancels the task that waits when it is done."""

    def cancel(self, msg: object = None) -> bool:  # noqa: ARG002 - asyncio's signature
        return False
