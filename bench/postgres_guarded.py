"""NFR-14: guarded steps on Postgres, 1,000 workflows at once, against DBOS on the same server."""

from __future__ import annotations

import sys
from typing import Final

from attrs import evolve, frozen

from bench.engines import durability, guarded_five, opened_engine, verified
from bench.figures import Bar, Figure, Unit
from bench.peer_engines import PeerEngine, dbos
from bench.peers import Unavailable
from bench.rounds import Plan, alternating, repeated
from bench.server import fresh_url, server_of
from bench.steps import AT_ONCE
from bench.workload import STEPS, seconds
from tests.postgres import Server

__all__ = ["measure"]

_BAR: Final = Bar(20.0, at_least=True)
_ROUNDS: Final = 5
_TRIED: Final = (50, 100, 150)
"""How many workflows DBOS runs at a time: each is tried once, and the fastest is measured."""


@frozen
class _Ours:
    """Takes our samples, each in a database of its own."""

    server: Server

    async def rate(self) -> float:
        """Guarded steps per second, each result and chain checked."""
        async with opened_engine(await fresh_url(self.server)) as engine:
            took = await seconds(lambda first: engine.run(guarded_five, first), AT_ONCE, AT_ONCE)
            await verified(engine, AT_ONCE)
        return AT_ONCE * STEPS / took

    async def durability(self) -> str:
        """What the server says to an engine's writer."""
        async with opened_engine(await fresh_url(self.server)) as engine:
            return await durability(engine)


async def measure(plan: Plan) -> list[Figure]:
    """Our rate beside DBOS's at its best concurrency; ours alone where DBOS cannot be had."""
    with server_of(plan) as server:
        ours = _Ours(server)
        settings = f"ours: {await ours.durability()}"
        try:
            url = (await fresh_url(server)).replace("postgres:", "postgresql:", 1)
            async with dbos(plan, url) as peer:
                return [await _beside(plan, ours, peer, settings)]
        except Unavailable as error:
            print(f"NFR-14 without its peer: {error}", file=sys.stderr)
            return [await _alone(ours, f"no ratio: {error}; {settings}")]


async def _beside(plan: Plan, ours: _Ours, peer: PeerEngine, settings: str) -> Figure:
    count = plan.size(150, 75)
    tried = await peer.rates(_TRIED, count)
    best = next(iter(tried))

    async def reference() -> float:
        return await peer.rate(best, count)

    paired = await alternating(_ROUNDS, ours.rate, reference)
    what = f"guarded steps on Postgres, {AT_ONCE:,} at once, against {peer.name}"
    figure = paired.figure("NFR-14", what, Unit.PER_SECOND, _BAR)
    note = f"{peer.at_best(tried)}; {settings}; {peer.name}: {peer.durability}"
    return evolve(figure, against=peer.versioned, note=note)


async def _alone(ours: _Ours, note: str) -> Figure:
    what = f"guarded steps on Postgres, {AT_ONCE:,} at once"
    figure = await repeated(_ROUNDS, ours.rate, "NFR-14", what, Unit.PER_SECOND)
    return evolve(figure, note=note)
