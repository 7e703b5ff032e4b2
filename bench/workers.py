"""Throughput of 1, 2 and 4 worker processes on one database; no bar.

A front process starts executions for anyone and awaits their results; workers claim and run them.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from attrs import define, evolve, field

from bench.curves import Curve, point_of
from bench.engines import durability, guarded_five, opened_engine, verified
from bench.figures import Figure, Unit
from bench.peers import running
from bench.rounds import Paired, Plan
from bench.server import fresh_url, server_of
from bench.workload import FIRST, STEPS, SUM
from durable_core import DurableEngine
from tests.postgres import Server

__all__ = ["measure"]

_COUNTS: Final = (1, 2, 4)
_ROUNDS: Final = 5


@define
class _Team:
    """So many workers on a database of their own, and an engine that only starts and waits."""

    front: DurableEngine
    workers: int
    executions: int = 0
    rates: list[float] = field(factory=list)

    @property
    def counted(self) -> list[float]:
        """The rates of all rounds but the first."""
        return self.rates[1:]

    async def round(self, count: int) -> None:
        """The steps per second of that many executions, from the first start to the last result."""
        began = time.perf_counter()
        await asyncio.gather(*(self._one() for _ in range(count)))
        self.rates.append(count * STEPS / (time.perf_counter() - began))
        self.executions += count

    async def shares(self) -> list[int]:
        """How many executions each worker ran, the most first; all are checked."""
        await verified(self.front, self.executions)
        rows = await self.front.list(limit=self.executions)
        shares = Counter(row.owner_id for row in rows)
        assert len(shares) <= self.workers, "an execution was run by no worker"
        return sorted(shares.values(), reverse=True)

    async def _one(self) -> None:
        handle = await self.front.start(guarded_five, FIRST, run="anywhere")
        assert await handle.result() == SUM, "a workflow's result is wrong"


async def measure(plan: Plan) -> list[Figure | Curve]:
    """A line for each number of workers; the reference is the rate of one, in the same rounds."""
    count = plan.size(1000, 300)
    with server_of(plan) as server:
        async with AsyncExitStack() as stack:
            teams = [await stack.enter_async_context(_team(server, n)) for n in _COUNTS]
            for number in range(_ROUNDS + 1):
                for team in teams if number % 2 else reversed(teams):
                    await team.round(count)
            settings = await durability(teams[0].front)
            figures = [await _figure(team, teams[0], settings) for team in teams]
            return [*figures, _curve(teams)]


@asynccontextmanager
async def _team(server: Server, workers: int) -> AsyncIterator[_Team]:
    url = await fresh_url(server)
    async with opened_engine(url, (), recover=False) as front, AsyncExitStack() as stack:
        for _ in range(workers):
            worker = running(sys.executable, "-m", "bench.worker", url)
            await stack.enter_async_context(worker)
        yield _Team(front, workers)


def _curve(teams: Sequence[_Team]) -> Curve:
    points = tuple(point_of(team.workers, team.counted) for team in teams)
    what = "guarded steps on Postgres"
    value, axis, unit = "steps per second", "worker processes", Unit.PER_SECOND
    return Curve("curve-workers", value, what, axis, unit, points)


async def _figure(team: _Team, alone: _Team, settings: str) -> Figure:
    shares = await team.shares()
    parts = " ".join(f"{100 * share / team.executions:.0f} %" for share in shares)
    note = f"each ran {parts}" if team.workers > 1 else settings
    what = f"guarded steps, started anywhere, {team.workers} worker process"
    ours = team.counted
    if team is alone:
        middle = statistics.median(ours)
        return Figure(
            "workers", what, Unit.PER_SECOND, middle, middle, None, min(ours), max(ours), note=note
        )
    paired = Paired(tuple(ours), tuple(alone.counted))
    return evolve(paired.figure("workers", f"{what}es", Unit.PER_SECOND, None), note=note)
