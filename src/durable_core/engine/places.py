"""How many executions are at work at once, and how one that only waits gives its place away.

Carries INV-12: what waits for a timer, a promise, a signal or a child needs no place. Otherwise a
parent could wait for a child that waits for the parent's place, and executions that wait for days
would keep those from being recovered that have something to do.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

__all__ = ["Place", "Places"]

T = TypeVar("T")

_SETTLED_S: Final = 0.01
"""How long an execution has to do nothing but wait before others get its place."""


class Places:
    """The places of one engine. Used by the event loop's thread alone.

    `freed()` is called when an execution gives its place away and lives on.
    """

    def __init__(self, limit: int | None, freed: Callable[[], None]) -> None:
        self._limit = limit
        self._freed = freed
        self._taken = 0
        self._asking: deque[asyncio.Future[None]] = deque()
        self.given = 0
        """How many executions have given their places away and live on."""

    def ask(self) -> asyncio.Future[None]:
        """A future that is done when a place is the caller's; cancel it to ask no more."""
        asked: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asking.append(asked)
        self._allot()
        return asked

    def take(self) -> None:
        """Take a place although there may be none."""
        self._taken += 1

    def leave(self) -> None:
        """Give a place back."""
        self._taken -= 1
        self._allot()

    def note_given(self, *, given: bool) -> None:
        """An execution has given its place away, or has one again."""
        self.given += 1 if given else -1
        if given:
            self._freed()

    def _allot(self) -> None:
        while self._asking and (self._limit is None or self._taken < self._limit):
            asked = self._asking.popleft()
            if not asked.done():
                self._taken += 1
                asked.set_result(None)


class Place:
    """That of one execution: asked for, then its own, and given away while it only waits.

    Used by the event loop's thread alone.
    """

    def __init__(self, places: Places) -> None:
        self._places = places
        self._asked: asyncio.Future[None] | None = places.ask()
        self._held = False
        self._given = False
        self._waits = 0
        self._check: asyncio.TimerHandle | None = None
        self._only: Callable[[int], bool] = lambda _: False

    async def first(self, stopping: asyncio.Event) -> None:
        """Return when there is a place, or the execution is stopped: then it needs none."""
        asked = self._asked
        if asked is not None and not asked.done():
            stopped: asyncio.Future[Any] = asyncio.ensure_future(stopping.wait())
            try:
                await asyncio.wait({asked, stopped}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                stopped.cancel()
        self._held = self._own()

    def watch(self, only: Callable[[int], bool]) -> None:
        """`only(n)` says whether nothing but `n` waits is under way."""
        self._only = only

    async def until(self, waiting: Awaitable[T]) -> T:
        """What `waiting` yields; meanwhile others may have the place, and it is waited for then.

        Where the caller is cancelled it goes on at once, with a place beyond the limit if need be.
        """
        self._waits += 1
        self.look()
        try:
            result = await waiting
            await self._back()
        except BaseException:
            self.take()
            raise
        finally:
            self._waits -= 1
        return result

    def look(self) -> None:
        """Something began or ended: if the execution only waits now, give its place away soon."""
        if self._waits and self._held and self._check is None:
            loop = asyncio.get_running_loop()
            self._check = loop.call_later(_SETTLED_S, self._settle)

    def take(self) -> None:
        """The execution does something now: it has a place, without a wait."""
        if self._given:
            if not self._own():
                self._places.take()
            self._given_no_more()

    def close(self) -> None:
        """The execution has ended here."""
        if self._check is not None:
            self._check.cancel()
        if self._own() or self._held:
            self._places.leave()
        if self._given:
            self._given_no_more()
        self._held = False

    async def _back(self) -> None:
        """Have a place of its own again; all that waited share it."""
        while self._given:
            if self._asked is None:
                self._asked = self._places.ask()
            if not self._asked.done():
                await asyncio.wait({self._asked})
            elif self._own():
                self._given_no_more()

    def _own(self) -> bool:
        """Ask no more; whether what was asked for is there."""
        asked, self._asked = self._asked, None
        return asked is not None and not asked.cancel() and not asked.cancelled()

    def _settle(self) -> None:
        self._check = None
        if self._held and self._waits and self._only(self._waits):
            self._held, self._given = False, True
            self._places.note_given(given=True)
            self._places.leave()

    def _given_no_more(self) -> None:
        self._held, self._given = True, False
        self._places.note_given(given=False)
