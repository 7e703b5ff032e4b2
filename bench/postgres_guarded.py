"""NFR-14: guarded steps on Postgres, 1,000 workflows at once, against DBOS on the same server."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Final

from attrs import frozen

from bench.engines import durability, guarded_five, opened_engine, verified
from bench.figures import Figure
from bench.peer_engines import dbos
from bench.references import Reference
from bench.rounds import Plan, alternating
from bench.server import fresh_url, server_of
from bench.steps import AT_ONCE
from bench.workload import STEPS, seconds
from tests.postgres import Server

__all__ = ["measure"]

_BAR: Final = 20.0
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
        settings = await ours.durability()
        url = (await fresh_url(server)).replace("postgres:", "postgresql:", 1)
        async with AsyncExitStack() as stack:
            peer = await Reference.started(stack, "DBOS", dbos(plan, url))
            await peer.at_best(_TRIED, plan.size(150, 75))
            paired = await alternating(_ROUNDS, ours.rate, peer.rate)
        what = f"guarded steps on Postgres, {AT_ONCE:,} at once"
        return [peer.figure("NFR-14", what, _BAR, paired, settings)]
