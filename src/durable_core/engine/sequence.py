"""The order in which concurrent steps are answered on replay: that of the journal.

Of steps that wait at the same time (`asyncio.gather`, `asyncio.wait`, a `TaskGroup`) the one that
was closed first is answered first, and the program gets time to act on it before the next one is.
So whatever depends on which came first comes out as it did when it was journaled.

A loop that is about to run nothing else shows that the program has acted. So several who wait are
woken for one turn of the loop, and each of them looks, when it goes on, whether that is still so.

What is told only when it is durable has its place in the journal before. Until its commit, nobody
is answered who stands behind it.
"""

from __future__ import annotations

import asyncio
import functools
import heapq
from collections import deque
from collections.abc import Callable, Iterator, Sized
from contextlib import contextmanager
from typing import Final, TypeVar

__all__ = ["LAST", "Sequence", "Turn", "ready_of"]

T = TypeVar("T")

LAST: Final = 1 << 62
"""The place of a step that the journal has no answer for: behind all others."""

_TURNS: Final = 12
"""Turns of the event loop from one answer to the next: enough for it to pass through a task, its
callbacks, `gather`, `wait_for` and the task that awaits them."""

_MORE_TURNS: Final = 4
"""For each parallel block that an answer may lead out of."""

_UNKNOWN: Final = -1

_WIDEST: Final = 256.0
"""How many are woken for one turn of the loop at most."""

_WIDER: Final = 1.25
"""How many more the next time, as long as nothing comes between: a few turns from one to two, so
that a program in which each answer causes something seldom has one woken in vain."""


def ready_of(loop: asyncio.AbstractEventLoop) -> Sized:
    """What `loop` is about to run: asyncio publishes no way to ask. Empty where nothing says it."""
    ready: Sized = getattr(loop, "_ready", ())
    return ready


class Turn(asyncio.Future[None]):
    """A wait of one step. Once it has its place it cannot be cancelled.

    asyncio then cancels the task that waits when it is done.
    """

    __slots__ = ("first", "handles", "number", "place")

    place: int
    """The `entry_no` of what it waits for; `_UNKNOWN` while nobody has told it."""

    number: int
    """Which turn it is: of several at one place the first that asked comes first."""

    handles: int
    """How many callbacks the loop was given when it was done: that of the task, or none."""

    first: bool
    """Whether it was woken in front of the others: then nothing has to be looked at."""

    def cancel(self, msg: object = None) -> bool:
        """Only while it has no place."""
        return self.place == _UNKNOWN and super().cancel(msg)


class Sequence:
    """One for each run in which steps have met. Used by the event loop's thread alone."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, int, Turn]] = []
        self._woken: deque[Turn] | None = None
        """Those whose task the loop is about to run; there once somebody has waited."""

        self._coming: dict[int, None] = {}
        """The places of what is on its way into the journal, the lowest first."""

        self._ours = 0
        """How much of what the loop is about to run it was given by this sequence."""

        self._count = 0
        self._width = 1.0
        self._passed = 0
        """How many of those that were woken together have gone on."""

        self._pumping = False
        self._renewed = False
        """Whether something has come meanwhile, which gets all its turns to be told first."""

        self._busy = False
        self._turns = _TURNS

    @property
    def busy(self) -> bool:
        """Whether a step waits for its turn, and all that was ready by then has begun."""
        return self._busy

    def deepen(self, depth: int) -> None:
        """Parallel blocks are nested so deep from now on."""
        self._turns = max(self._turns, _TURNS + _MORE_TURNS * depth)

    def is_next(self, place: int) -> bool:
        """Whether the turn of `place` is now: nobody comes before it, and the loop rests."""
        waiting, woken = self._waiting, self._woken
        if (waiting and waiting[0][0] <= place) or (woken and woken[0].place <= place):
            return False
        if self._coming and self._is_behind(place):
            return False
        return self._rests(asyncio.get_running_loop())

    def turn(self, place: int) -> Turn:
        """Done when every step that waits with a lower `place` has been answered.

        Then `after` says whether it has come. It comes in any case: who is cancelled while it waits
        for it learns so when it has come. What is ready now begins before it.
        """
        turn = self.without_place()
        self.let_in(turn, place)
        return turn

    def without_place(self) -> Turn:
        """A turn of something whose place is told later, by `let_in`; or which is just done."""
        self._count += 1
        turn = Turn(loop=asyncio.get_running_loop())
        turn.place, turn.number, turn.handles, turn.first = _UNKNOWN, self._count, 0, True
        return turn

    def let_in(self, turn: Turn, place: int) -> None:
        """`turn` waits from now on, for what stands at `place`."""
        turn.place = place
        heapq.heappush(self._waiting, (place, turn.number, turn))
        self._begin_to_pump(turn.get_loop())

    def expect(self, place: int, committed: asyncio.Future[int]) -> None:
        """What stands at `place` is told once it is `committed`; above all that is so already."""
        self._coming[place] = None
        committed.add_done_callback(functools.partial(self._has_come, place))

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nobody is answered meanwhile."""
        self._count += 1
        place = -self._count
        self._coming = {place: None} | self._coming
        try:
            yield
        finally:
            self._has_gone(place)

    def after(self, turn: Turn) -> Turn | None:
        """Who waited for `turn` goes on, or was closed; the turn to wait for in its place, if any.

        Somebody who went on before it may have caused something that has to run first.
        """
        woken = self._woken
        if not woken or not turn.handles:
            return None
        woken.remove(turn)
        self._ours -= turn.handles
        if turn.first or self._is_still(turn):
            self._passed += 1
            return None
        self._width = max(1, self._passed)
        return self._again(turn)

    def beside(self, start: Callable[[], T]) -> T:
        """What `start` returns; what it gives to the loop is nothing that the program does."""
        loop = asyncio.get_running_loop()
        ready = ready_of(loop)
        before = len(ready)
        started = start()
        given = len(ready) - before
        if given:
            self._ours += given + 1
            loop.call_soon(self._has_run, given + 1)
        return started

    def _has_come(self, place: int, _: asyncio.Future[int]) -> None:
        self._renewed = self._pumping
        self._has_gone(place)

    def _has_gone(self, place: int) -> None:
        """Nothing is on its way to `place` any more."""
        del self._coming[place]
        if self._waiting:
            self._begin_to_pump(self._waiting[0][-1].get_loop())

    def _is_behind(self, place: int) -> bool:
        """Whether something stands before `place` that is still on its way."""
        return next(iter(self._coming), place) < place

    def _has_run(self, given: int) -> None:
        self._ours -= given

    def _is_still(self, turn: Turn) -> bool:
        """Whether nothing has come between those that were woken before it and this one."""
        waiting = self._waiting
        sooner = waiting and waiting[0][0] < turn.place
        return not sooner and self._rests(turn.get_loop())

    def _again(self, turn: Turn) -> Turn:
        """Another one with its place and its number."""
        again = self.without_place()
        again.number = turn.number
        self.let_in(again, turn.place)
        return again

    def _begin_to_pump(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._pumping:
            self._pumping = True
            self._pump_again(loop, self._turns)

    def _pump_again(self, loop: asyncio.AbstractEventLoop, left: int) -> None:
        self._ours += 1
        loop.call_soon(self._pump, loop, left)

    def _pump(self, loop: asyncio.AbstractEventLoop, left: int) -> None:
        self._ours -= 1
        self._busy = True
        rests = self._rests(loop)
        if self._renewed:
            self._renewed, left = False, self._turns
        if not rests and left > 0:
            self._pump_again(loop, left - 1)
        elif self._waiting and not self._is_behind(self._waiting[0][0]):
            self._wake(loop, int(self._width) if rests else 1)
            self._width = min(_WIDER * self._width, _WIDEST)
            self._pump_again(loop, self._turns)
        else:
            self._pumping, self._busy = False, bool(self._waiting)

    def _wake(self, loop: asyncio.AbstractEventLoop, width: int) -> None:
        """Wake the next ones, in their order."""
        ready = ready_of(loop)
        if self._woken is None:
            self._woken = deque()
        first, self._passed = True, 0
        for _ in range(min(width, len(self._waiting))):
            if self._coming and self._is_behind(self._waiting[0][0]):
                return
            _, _, turn = heapq.heappop(self._waiting)
            before = len(ready)
            turn.set_result(None)
            turn.handles = len(ready) - before
            turn.first = first
            first = False
            if turn.handles:
                self._woken.append(turn)
                self._ours += turn.handles

    def _rests(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Whether nothing else is about to run: then the program has acted on the last answer.

        All that may be is what this sequence has given to the loop. asyncio publishes no way to
        ask; a loop that keeps this elsewhere gets all its turns.
        """
        ready: Sized | None = getattr(loop, "_ready", None)
        return ready is not None and len(ready) == self._ours
