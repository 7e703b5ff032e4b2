"""NFR-1 to NFR-4: steps per second on a file, beside DBOS, Unhinged and Restate.

A peer knows no classes of effects, so its one rate is the reference of guarded and of idempotent
steps. None of them encrypts or chains.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Final, Self

from attrs import define, evolve, frozen

from bench.engines import durability, fresh_engine, guarded_five, idempotent_five
from bench.figures import Bar, Figure, Unit
from bench.peer_engines import PeerEngine, dbos_on_sqlite, restate, unhinged
from bench.peers import Unavailable
from bench.rounds import Paired, Plan, Sample, in_turn, unpaired
from bench.steps import AT_ONCE, concurrent, sequential
from durable_core.engine.definition import Workflow

__all__ = ["measure"]

_Five = Workflow[[int], int]


@frozen
class _Line:
    """A class of steps in one kind of load, and the bar against each peer in its turn."""

    number: str
    what: str
    five: _Five
    bars: tuple[float, ...]


_ONE_BY_ONE: Final = (
    _Line("NFR-1", "guarded steps, one after the other", guarded_five, (8.0, 0.8)),
    _Line("NFR-2", "idempotent steps, one after the other", idempotent_five, (25.0, 4.0)),
)
"""Against DBOS and Unhinged."""

_AT_ONCE: Final = (
    _Line("NFR-3", f"guarded steps, {AT_ONCE:,} at once", guarded_five, (40.0, 5.0)),
    _Line("NFR-4", f"idempotent steps, {AT_ONCE:,} at once", idempotent_five, (70.0, 8.0)),
)
"""Against DBOS and Restate, each at its best."""

_DBOS_TRIED: Final = (1, 10, 50)
_RESTATE_TRIED: Final = (16, 50, 100)
"""How many workflows a peer runs at a time: each is tried once, and the fastest is measured."""


@define
class _Reference:
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
        line: _Line,
        bar: float,
        ours: tuple[float, ...],
        theirs: tuple[float, ...],
        settings: str,
    ) -> Figure:
        """Ours beside its samples; ours alone where it is lost."""
        if self.peer is None:
            note = f"no ratio to {self.name}: {self.lost}; ours: {settings}"
            return evolve(unpaired(ours, line.number, line.what, Unit.PER_SECOND), note=note)
        what = f"{line.what}, against {self.name}"
        figure = Paired(ours, theirs).figure(
            line.number, what, Unit.PER_SECOND, Bar(bar, at_least=True)
        )
        note = f"{self.how}; {self.name}: {self.peer.durability}; ours: {settings}"
        return evolve(figure, against=self.peer.versioned, note=note)

    def _lose(self, error: Unavailable) -> None:
        print(f"without {self.name}: {error}", file=sys.stderr)
        self.peer, self.lost = None, str(error)


async def measure(plan: Plan) -> list[Figure]:
    """Two lines for each of the four: one for each peer, all of one kind of load in same rounds."""
    async with fresh_engine(plan) as engine:
        settings = await durability(engine)
    async with AsyncExitStack() as stack:
        dbos = await _Reference.started(stack, "DBOS", dbos_on_sqlite(plan))
        file = await _Reference.started(stack, "Unhinged", unhinged(plan))
        dbos.one_by_one(plan.size(80, 30))
        file.one_by_one(plan.size(400, 100))
        figures = await _beside(plan, sequential, _ONE_BY_ONE, (dbos, file), settings)
        server = await _Reference.started(stack, "Restate", restate(plan))
        await dbos.at_best(_DBOS_TRIED, plan.size(150, 60))
        await server.at_best(_RESTATE_TRIED, plan.size(1000, 400))
        return figures + await _beside(plan, concurrent, _AT_ONCE, (dbos, server), settings)


async def _beside(
    plan: Plan,
    load: Callable[[Plan, _Five], Sample],
    lines: Sequence[_Line],
    references: Sequence[_Reference],
    settings: str,
) -> list[Figure]:
    """The figures of one kind of load, of the same rounds."""
    ours = [load(plan, line.five) for line in lines]
    taken = await in_turn(plan.rounds, *ours, *(reference.rate for reference in references))
    theirs = taken[len(ours) :]
    return [
        reference.figure(line, bar, mine, samples, settings)
        for line, mine in zip(lines, taken[: len(ours)], strict=True)
        for reference, bar, samples in zip(references, line.bars, theirs, strict=True)
    ]
