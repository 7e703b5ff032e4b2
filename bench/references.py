"""A peer as the reference of some rounds; it may be missing, or get lost on the way."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Self

from attrs import define, evolve

from bench.figures import Bar, Figure, Unit
from bench.peer_engines import PeerEngine
from bench.peers import Unavailable
from bench.rounds import Paired, unpaired

__all__ = ["Reference"]


@define
class Reference:
    """A peer in the rounds. It is lost where it cannot be had or ended: `lost` says why."""

    name: str
    peer: PeerEngine | None = None
    lost: str = ""
    at_once: int = 1
    count: int = 1
    how: str = ""

    @classmethod
    async def started(
        cls,
        stack: AsyncExitStack,
        name: str,
        opening: AbstractAsyncContextManager[PeerEngine],
    ) -> Self:
        """The peer, until the stack unwinds."""
        self = cls(name)
        try:
            self.peer = await stack.enter_async_context(opening)
        except Unavailable as error:
            self._lose(error)
        return self

    def one_by_one(self, count: int) -> Self:
        """From here on a sample is that many workflows, one after the other."""
        self.at_once, self.count = 1, count
        self.how = "" if self.peer is None else f"{self.peer.versioned}, one after the other"
        return self

    async def at_best(self, tried: Sequence[int], count: int) -> Self:
        """From here on a sample is that many workflows, at the fastest of these numbers."""
        self.count = count
        try:
            if self.peer is not None:
                rates = await self.peer.rates(tried, count)
                self.at_once, self.how = next(iter(rates)), self.peer.at_best(rates)
        except Unavailable as error:
            self._lose(error)
        return self

    async def rate(self) -> float:
        """A sample: its steps per second; not a number once it is lost."""
        try:
            if self.peer is not None:
                return await self.peer.rate(self.at_once, self.count)
        except Unavailable as error:
            self._lose(error)
        return math.nan

    def figure(
        self,
        number: str,
        what: str,
        limit: float,
        paired: Paired,
        settings: str,
    ) -> Figure:
        """Ours beside its samples; ours alone, without a bar, where it is lost.

        `limit` is what the ratio must reach, `settings` what our database says of its durability.
        """
        if self.peer is None:
            note = f"no ratio to {self.name}: {self.lost}; ours: {settings}"
            return evolve(unpaired(paired.ours, number, what, Unit.PER_SECOND), note=note)
        what = f"{what}, against {self.name}"
        figure = paired.figure(number, what, Unit.PER_SECOND, Bar(limit, at_least=True))
        note = f"{self.how}; {self.name}: {self.peer.durability}; ours: {settings}"
        return evolve(figure, against=self.peer.versioned, note=note)

    def _lose(self, error: Unavailable) -> None:
        print(f"without {self.name}: {error}", file=sys.stderr)
        self.peer, self.lost = None, str(error)
