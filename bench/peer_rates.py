"""NFR-1 to NFR-4: steps per second on a file, beside DBOS, Unhinged and Restate.

A peer knows no classes of effects, so its one rate is the reference of guarded and of idempotent
steps. None of them encrypts or chains.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import Final

from attrs import frozen

from bench.collector import RELIEVED
from bench.engines import durability, fresh_engine, guarded_five, idempotent_five
from bench.figures import Figure
from bench.fives import with_relief
from bench.peer_engines import dbos_on_sqlite, restate, unhinged
from bench.references import Reference
from bench.rounds import Paired, Plan, Sample, in_rounds
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
    relief: bool = False
    """Whether ours has the collector set as docs/scaling.md says."""


_ONE_BY_ONE: Final = (
    _Line("NFR-1", "guarded steps, one after the other", guarded_five, (8.0, 0.8)),
    _Line("NFR-2", "idempotent steps, one after the other", idempotent_five, (25.0, 4.0)),
)
"""Against DBOS and Unhinged."""

_AT_ONCE: Final = tuple(
    _Line(number, f"{what}, {AT_ONCE:,} at once{suffix}", five, bars, relief)
    for number, what, five, bars in (
        ("NFR-3", "guarded steps", guarded_five, (40.0, 5.0)),
        ("NFR-4", "idempotent steps", idempotent_five, (70.0, 8.0)),
    )
    for suffix, relief in (("", False), (f", {RELIEVED}", True))
)
"""Against DBOS and Restate, each at its best."""

_DBOS_TRIED: Final = (1, 10, 50)
_RESTATE_TRIED: Final = (16, 50, 100, 200)
"""How many workflows a peer runs at a time: each is tried once, and the fastest is measured."""


async def measure(plan: Plan) -> list[Figure]:
    """A line against each peer for each of the lines above; a kind of load in the same rounds."""
    async with fresh_engine(plan) as engine:
        settings = await durability(engine)
    async with AsyncExitStack() as stack:
        dbos = await Reference.started(stack, "DBOS", dbos_on_sqlite(plan))
        file = await Reference.started(stack, "Unhinged", unhinged(plan))
        dbos.one_by_one(plan.size(80, 30))
        file.one_by_one(plan.size(400, 100))
        figures = await _beside(plan, sequential, _ONE_BY_ONE, (dbos, file), settings)
        server = await Reference.started(stack, "Restate", restate(plan))
        await dbos.at_best(_DBOS_TRIED, plan.size(150, 60))
        await server.at_best(_RESTATE_TRIED, plan.size(1000, 400))
        return figures + await _beside(plan, concurrent, _AT_ONCE, (dbos, server), settings)


async def _beside(
    plan: Plan,
    load: Callable[[Plan, _Five], Sample],
    lines: Sequence[_Line],
    references: Sequence[Reference],
    settings: str,
) -> list[Figure]:
    """The figures of one kind of load, of the same rounds."""
    ours = [
        with_relief(load(plan, line.five)) if line.relief else load(plan, line.five)
        for line in lines
    ]
    taken = await in_rounds(plan.rounds, [*ours, *(reference.rate for reference in references)])
    theirs = taken[len(ours) :]
    return [
        reference.figure(line.number, line.what, bar, Paired(mine, samples), settings)
        for line, mine in zip(lines, taken[: len(ours)], strict=True)
        for reference, bar, samples in zip(references, line.bars, theirs, strict=True)
    ]
