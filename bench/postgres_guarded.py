"""NFR-14: guarded steps on Postgres, 1,000 workflows at once, against DBOS on the same server."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Final

from attrs import evolve, frozen

from bench import dbos_program
from bench.engines import STEPS, guarded_five, opened_engine, verified
from bench.figures import Bar, Figure, Unit
from bench.peers import Peer, Unavailable, environment, running
from bench.rounds import Plan, alternating, repeated
from bench.server import durability_of_the_writer, fresh_url, server_of
from durable_core import DurableEngine
from tests.postgres import Server

__all__ = ["measure"]

_BAR: Final = Bar(20.0, at_least=True)
_PEER: Final = "dbos==3.4.0"
_AT_ONCE: Final = 1000
_FIRST: Final = 7
_SUM: Final = sum(range(_FIRST, _FIRST + STEPS))
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
            began = time.perf_counter()
            await asyncio.gather(*(_run(engine) for _ in range(_AT_ONCE)))
            took = time.perf_counter() - began
            await verified(engine, _AT_ONCE)
        return _AT_ONCE * STEPS / took

    async def durability(self) -> str:
        """What the server says to an engine's writer."""
        async with opened_engine(await fresh_url(self.server)) as engine:
            return await durability_of_the_writer(engine)


async def measure(plan: Plan) -> list[Figure]:
    """Our rate beside DBOS's at its best concurrency; ours alone where DBOS cannot be had."""
    with server_of(plan) as server:
        ours = _Ours(server)
        settings = f"ours: {await ours.durability()}"
        try:
            python = await asyncio.to_thread(environment, plan.folder / "dbos", _PEER)
            program = str(Path(dbos_program.__file__))
            url = (await fresh_url(server)).replace("postgres:", "postgresql:", 1)
            async with running(str(python), program, url) as peer:
                return [await _beside(plan, ours, peer, settings)]
        except Unavailable as error:
            print(f"NFR-14 without its peer: {error}", file=sys.stderr)
            return [await _alone(ours, f"no ratio: {error}; {settings}")]


async def _beside(plan: Plan, ours: _Ours, peer: Peer, settings: str) -> Figure:
    version, _, theirs = peer.first.partition(" ")
    count = plan.size(150, 75)
    rates = {at_once: await _rate(peer, at_once, count) for at_once in _TRIED}
    best = max(rates, key=rates.__getitem__)

    async def reference() -> float:
        return await _rate(peer, best, count)

    paired = await alternating(_ROUNDS, ours.rate, reference)
    what = f"guarded steps on Postgres, {_AT_ONCE:,} at once, against DBOS"
    tried = ", ".join(f"{rate:.0f}/s at {at_once}" for at_once, rate in rates.items())
    note = f"DBOS {version} at {best} at once (tried: {tried}); {settings}; DBOS: {theirs}"
    return evolve(paired.figure("NFR-14", what, Unit.PER_SECOND, _BAR), note=note)


async def _alone(ours: _Ours, note: str) -> Figure:
    what = f"guarded steps on Postgres, {_AT_ONCE:,} at once"
    figure = await repeated(_ROUNDS, ours.rate, "NFR-14", what, Unit.PER_SECOND)
    return evolve(figure, note=note)


async def _rate(peer: Peer, at_once: int, count: int) -> float:
    return count * STEPS / float(await peer.ask(at_once, count))


async def _run(engine: DurableEngine) -> None:
    assert await engine.run(guarded_five, _FIRST) == _SUM, "a workflow's result is wrong"
