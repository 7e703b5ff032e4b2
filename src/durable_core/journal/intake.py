"""The writer's one ordered queue: what was accepted, what is settled, and who waits for which.

Carries the ordering half of INV-4: appends leave the queue in the order in which they entered it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from itertools import islice
from typing import Final, TypeVar

from durable_core.journal.batching import Pending
from durable_core.journal.entrance import Entrance
from durable_core.journal.settings import WriterSettings

__all__ = ["Intake"]

T = TypeVar("T")

_ENOUGH: Final = 256
"""So many buffered appends wait for no company: what a crash loses grows no further with them."""

_CROWD: Final = 512
"""So many who wait for an acknowledgement are committed in halves, so that one of them goes on."""

_STARTS: Final = 8
"""The part of the queue beyond which no execution is begun: the rest is for what those do then."""


class Intake:
    """Counts and queues appends. Used by the event loop's thread alone.

    `accepted` and `settled` number appends from 1; everything up to `urgent` is to be committed
    without waiting for company.
    """

    def __init__(self, settings: WriterSettings) -> None:
        self.accepted = 0
        self.settled = 0
        self.urgent = 0
        self.wanted = asyncio.Event()
        self._enough = min(settings.batch_limit, _ENOUGH)
        self._buffered_capacity = settings.queue_capacity
        self.takes_buffered = True
        """Whether there is room for one more buffered append."""

        self._acked_capacity = settings.acked_capacity
        self._queue: deque[Pending] = deque()
        self._buffered = 0
        self._acked = 0
        self._waiters: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._room: deque[asyncio.Future[bool]] = deque()
        self._given = 0
        """Turns of theirs that are not over: each is for two turns of the loop."""

        starts = -(-settings.queue_capacity // _STARTS)
        self.entrance = Entrance(lambda: starts - self._buffered, lambda: self.urge(self.accepted))
        """Where executions are begun by buffered appends."""

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def takes_acknowledged(self) -> bool:
        """Whether there is room for one more acknowledged append, and nobody waits for it."""
        return not self._room and self._acked + self._given < self._acked_capacity

    @property
    def due(self) -> bool:
        """Whether something urgent is still to be committed."""
        return self.settled < self.urgent

    def put(self, pending: Pending) -> None:
        """Accept an append."""
        self._queue.append(pending)
        self.accepted += 1
        if pending.future is None:
            self._buffered += 1
            if self._buffered >= self._buffered_capacity:
                self.takes_buffered = False
            if self._buffered >= self._enough:
                self.urge(self.accepted)
        else:
            self._acked += 1
            if self.settled >= self.urgent:  # otherwise something is due, and so is this then
                self.wanted.set()
            self.urgent = self.accepted

    def take(self, limit: int) -> list[Pending]:
        """The next appends in order, at most `limit`."""
        if limit < len(self._queue):
            taken = [self._queue.popleft() for _ in range(limit)]
        else:
            taken = list(self._queue)
            self._queue.clear()
        if self._buffered:
            self._buffered -= sum([pending.future is None for pending in taken])
            self.takes_buffered = self._buffered < self._buffered_capacity
            self.entrance.admit()
        return taken

    def share(self, limit: int) -> int:
        """How many of the appends the next batch is to take: `limit` at most, or half of a crowd.

        If all were in one batch nobody would have anything to do while it is committed, and
        nothing would be committed while they go on. Two halves stay two from then on.
        """
        waiting = len(self._queue)
        return limit if self._acked < _CROWD or waiting >= limit else (waiting + 1) // 2

    def upcoming(self, limit: int) -> list[Pending]:
        """What `take` would return; it stays in the queue."""
        return list(islice(self._queue, limit))

    def urge(self, upto: int) -> None:
        """Everything accepted up to `upto` is to be committed now."""
        if upto > self.urgent:
            self.urgent = upto
            self.wanted.set()

    def settle(self, pending: Pending) -> None:
        """An append has reached its end."""
        pending.settled = True
        self.count(1, int(pending.future is not None))

    def count(self, settled: int, acked: int) -> None:
        """So many appends have reached their end, so many of them acknowledged ones."""
        self.settled += settled
        self._acked -= acked

    def settlement(self) -> asyncio.Future[None]:
        """Have everything accepted so far committed now; done when all of it reached its end."""
        waiter = asyncio.get_running_loop().create_future()
        if self.settled == self.accepted:
            waiter.set_result(None)
        else:
            self._waiters.append((self.accepted, waiter))
            self.urge(self.accepted)
        return waiter

    def turn(self) -> asyncio.Future[bool]:
        """Done when it is one's turn to add an acknowledged append, at once.

        False if nobody is to wait for one. Whoever does not wait any more cancels it. Turns come in
        the order of the calls, and before whoever has not waited, so that an append waits once,
        however many there are. A turn lasts until the loop has gone round twice: enough for who
        awaits it, and for who awaits what a callback of it sets.
        """
        waiter: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._room.append(waiter)
        waiter.add_done_callback(self._taken)
        return waiter

    def announce(self) -> None:
        """Wake those whose appends have reached their end, and as many as have room now."""
        while self._waiters and self._waiters[0][0] <= self.settled:
            _wake(self._waiters.popleft()[1], result=None)
        self._hand_out_room()

    def turn_away(self) -> None:
        """Wake everybody who waits for room: there will be none to wait for."""
        while self._room:
            _wake(self._room.popleft(), result=False)

    def _taken(self, waiter: asyncio.Future[bool]) -> None:
        # Whoever was woken may be cancelled, or refused, and take no room after all: once that is
        # decided, it is the next one's turn, whether or not anything is settled again. Decided it
        # is two turns of the loop later: some are woken by a callback of theirs, and not by this.
        loop = waiter.get_loop()
        given = not waiter.cancelled() and waiter.result()
        loop.call_soon(loop.call_soon, self._hand_out_room, int(given))

    def _hand_out_room(self, over: int = 0) -> None:
        """Give as many turns as there is room for; `over` of those given before are over."""
        self._given -= over
        room = self._room
        while room and (self._acked + self._given < self._acked_capacity or room[0].done()):
            self._given += _wake(room.popleft(), result=True)


def _wake(waiter: asyncio.Future[T], *, result: T) -> bool:
    """Wake `waiter`; False if nobody waits there any more."""
    if waiter.done():
        return False
    waiter.set_result(result)
    return True
