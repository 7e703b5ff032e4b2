"""The timers of one engine: one heap and one call of the event loop, however many there are.

What is true of a timer stands in the journal. Here lies only who is to be woken, and when.
"""

from __future__ import annotations

import asyncio
import heapq
from typing import Final

from durable_core.clock import Clock

__all__ = ["Timers"]

_LONGEST_WAIT_S: Final = 30.0
"""The clock of the machine may be set while the event loop waits by its own: so look again."""

_FEW: Final = 64
"""So many cancelled timers are not worth a new heap."""

_AT_ONCE: Final = 1000
"""So many are woken before whatever else the event loop has to do gets its turn."""


class Timers:
    """Wakes at due times of the wall clock. Used by the event loop's thread alone."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[tuple[int, int, asyncio.Future[None]]] = []
        self._count = 0
        self._live = 0
        self._handle: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return self._live

    def at(self, due_ms: int) -> asyncio.Future[None]:
        """A future that is done when the clock shows `due_ms`; cancel it to forget the timer.

        Due times that have passed come at the next turn of the loop, in the order of their times.
        """
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.add_done_callback(self._note_done)
        self._count += 1
        self._live += 1
        heapq.heappush(self._heap, (due_ms, self._count, future))
        if self._heap[0][2] is future:
            self._wait()
        return future

    def close(self) -> None:
        """Cancel every timer."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        for _, _, future in self._heap:
            future.cancel()
        self._heap.clear()

    def _wait(self) -> None:
        """Have the loop call again when the first timer is due."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        if self._heap:
            seconds = (self._heap[0][0] - self._clock.now_ms()) / 1000
            loop = asyncio.get_running_loop()
            self._handle = loop.call_later(min(max(seconds, 0), _LONGEST_WAIT_S), self._look)

    def _look(self) -> None:
        self._handle = None
        now = self._clock.now_ms()
        for _ in range(_AT_ONCE):
            if not self._heap or not (self._heap[0][0] <= now or self._heap[0][2].done()):
                break
            future = heapq.heappop(self._heap)[2]
            if not future.done():
                future.set_result(None)
        self._wait()

    def _note_done(self, _: asyncio.Future[None]) -> None:
        self._live -= 1
        if len(self._heap) - self._live > max(_FEW, len(self._heap) // 2):
            self._heap = [timer for timer in self._heap if not timer[2].done()]
            heapq.heapify(self._heap)
            self._wait()
