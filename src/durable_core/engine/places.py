"""How many executions do something at once here: each has a place, unless all it does is wait.

An execution that sleeps, or waits for a promise, a signal or a child, gives its place up meanwhile,
so that what it waits for can run although there is room for few (INV-12).
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable

__all__ = ["Place", "Places", "Waiting"]


class Places:
    """The places of one engine, `limit` of them, or as many as are asked for.

    Used by the event loop's thread alone. `freed()` is called when an execution gives its place up
    and goes on later.
    """

    def __init__(self, limit: int | None, freed: Callable[[], None]) -> None:
        self.parked = 0
        """How many executions have begun here and only wait."""

        self.freed = freed
        self._free = limit
        self._queue: OrderedDict[Place, None] = OrderedDict()

    def take(self, place: Place) -> bool:
        """Whether there is room at once; otherwise `place` is granted one in its turn."""
        if self._free is None:
            return True
        if self._free:
            self._free -= 1
            return True
        self._queue.setdefault(place)
        return False

    def forget(self, place: Place) -> None:
        """Nobody waits for `place` to be granted any more."""
        self._queue.pop(place, None)

    def give_back(self) -> None:
        """The place is the next one's who still wants it."""
        if self._free is None:
            return
        while self._queue:
            place, _ = self._queue.popitem(last=False)
            if place.granted():
                return
        self._free += 1


class Place:
    """The place of one execution among those that run at once."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self.held = False
        """Whether the execution has its place."""

        self._parked = False
        self.waits = 0
        """How many of the things that the execution does only wait."""

        self._takers: dict[asyncio.Future[None], None] = {}

    def take_at_once(self) -> bool:
        """Whether the execution has its place, or there was room for it."""
        if self.held or self._places.take(self):
            self._hold()
        return self.held

    async def take(self) -> None:
        """Return when the execution has its place; all of its tasks share that one."""
        if self.take_at_once():
            return
        taker = asyncio.get_running_loop().create_future()
        self._takers[taker] = None
        try:
            await taker
        finally:
            self._takers.pop(taker, None)

    def granted(self) -> bool:
        """A place has become free for it; False where nobody wants it any more."""
        if not self._takers:
            return False
        self._hold()
        for taker in self._takers:
            if not taker.done():
                taker.set_result(None)
        return True

    def leave(self) -> None:
        """The execution is over here, or was never begun: it is granted no place any more.

        Somebody who was cancelled while it waited for the place may not have gone on yet.
        """
        self._takers.clear()
        self._places.forget(self)
        self._give_up()

    def waiting(self, under_way: int) -> Waiting:
        """A block in which one of the `under_way` things that the execution does only waits.

        Who leaves it with an exception does not wait for the place.
        """
        return Waiting(self, under_way)

    def rest(self, under_way: int) -> None:
        """Give the place up, if all of the `under_way` things that the execution does wait."""
        if self.held and self.waits and under_way == self.waits:
            self._give_up()
            self._parked = True
            self._places.parked += 1
            self._places.freed()

    def _give_up(self) -> None:
        self._unpark()
        if self.held:
            self.held = False
            self._places.give_back()

    def _hold(self) -> None:
        self.held = True
        self._unpark()

    def _unpark(self) -> None:
        if self._parked:
            self._parked = False
            self._places.parked -= 1


class Waiting:
    """The block that `Place.waiting` returns; entered once.

    No generator: one whose `async with` is closed while it waits for its place is not closed with
    it, but by the event loop, later.
    """

    __slots__ = ("_place", "_under_way")

    def __init__(self, place: Place, under_way: int) -> None:
        self._place = place
        self._under_way = under_way

    async def __aenter__(self) -> None:
        self._place.waits += 1
        self._place.rest(self._under_way)

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._place.waits -= 1
        if kind is None:
            await self._place.take()
