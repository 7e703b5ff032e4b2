"""Where executions wait that are to be begun by a buffered append, until the queue is short.

So what was begun finds room for its steps, and a crowd begins as fast as it is carried.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

__all__ = ["Entrance"]


class Entrance:
    """Lets in as many as there is room for, in their order. Used by the event loop's thread alone.

    `room()` says for how many there is, and `urge()` has what is in the queue committed.
    """

    def __init__(self, room: Callable[[], int], urge: Callable[[], None]) -> None:
        self._room = room
        self._urge = urge
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._overtaken: deque[asyncio.Future[None]] = deque()
        """Those of them who found no room when it was their turn: they come first."""

        self._admitted = 0
        """How many may go in, and have not yet."""

        self._looks_again = False

    @property
    def open(self) -> bool:
        """Whether there is room for whoever has just come, and nobody comes before."""
        return not (self._waiting or self._overtaken) and self._admitted < self._room()

    async def turn(self, *, again: bool = False) -> None:
        """Return when it is one's turn to go in, at once.

        Others may have been faster: whoever finds no room asks `again`. A turn is no promise that
        anything may be queued: where the store fails it comes to one after the other all the same.
        Whoever is cancelled or closed meanwhile leaves the line.
        """
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        (self._overtaken if again else self._waiting).append(waiter)
        self._look_again_soon(waiter.get_loop())
        try:
            await waiter
        finally:
            if not (waiter.cancel() or waiter.cancelled()):  # closed or cancelled before his turn
                self._admitted -= 1
            self._look_again_soon(waiter.get_loop())

    def admit(self) -> None:
        """There may be more room than there was."""
        while self._admitted < self._room():
            line = self._overtaken or self._waiting
            if not line:
                return
            waiter = line.popleft()
            if not waiter.done():
                waiter.set_result(None)
                self._admitted += 1

    def _look_again_soon(self, loop: asyncio.AbstractEventLoop) -> None:
        # Behind whoever was let in, who may begin nothing after all, and behind what those do who
        # have begun: that is to be committed together.
        if not self._looks_again:
            self._looks_again = True
            loop.call_soon(loop.call_soon, self._look_again)

    def _look_again(self) -> None:
        self._looks_again = False
        self.admit()
        if self._overtaken or self._waiting:
            self._urge()  # what was begun meanwhile is what they wait for now
