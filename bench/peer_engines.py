"""The engines that are measured beside ours: installed, started, and asked for their rates."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

from attrs import frozen

from bench.peers import Peer, environment, running
from bench.restate_server import restate_binary, restate_server
from bench.rounds import Plan
from bench.workload import STEPS

__all__ = [
    "DBOS",
    "RESTATE",
    "UNHINGED",
    "PeerEngine",
    "dbos",
    "dbos_on_sqlite",
    "restate",
    "unhinged",
]

DBOS: Final = ("dbos==3.4.0",)
UNHINGED: Final = ("unhinged==0.2.0",)
RESTATE: Final = ("restate_sdk[client]==1.3.0", "hypercorn==0.18.0")
"""What each of them is installed from."""


@frozen
class PeerEngine:
    """A peer that runs, with its version and what it says of its durability."""

    name: str
    version: str
    durability: str
    peer: Peer

    @property
    def versioned(self) -> str:
        """The name with the version."""
        return f"{self.name} {self.version}"

    async def rate(self, at_once: int, count: int) -> float:
        """The steps per second of `count` workflows of five, `at_once` of them at a time."""
        return count * STEPS / float(await self.peer.ask(at_once, count))

    async def rates(self, tried: Sequence[int], count: int) -> dict[int, float]:
        """The rate at each of these numbers at a time, the fastest first; behind one to warm up."""
        await self.rate(tried[0], count)
        rates = {at_once: await self.rate(at_once, count) for at_once in tried}
        return dict(sorted(rates.items(), key=lambda item: item[1], reverse=True))

    def at_best(self, rates: Mapping[int, float]) -> str:
        """What `rates` found, for a note."""
        best, *_ = rates
        tried = ", ".join(f"{rate:.0f}/s at {at_once}" for at_once, rate in sorted(rates.items()))
        return f"{self.versioned} at {best} at once (tried: {tried})"


@asynccontextmanager
async def dbos(plan: Plan, url: str) -> AsyncIterator[PeerEngine]:
    """DBOS Transact with its system tables at `url`; `Unavailable`."""
    python = await asyncio.to_thread(environment, plan.folder / "dbos", *DBOS)
    async with running(str(python), "-m", "bench.dbos_program", url) as peer:
        version, _, settings = peer.first.partition(" ")
        yield PeerEngine("DBOS", version, settings, peer)


@asynccontextmanager
async def dbos_on_sqlite(plan: Plan) -> AsyncIterator[PeerEngine]:
    """DBOS Transact with its system tables in a file of its own; `Unavailable`."""
    with plan.fresh_path() as path:
        async with dbos(plan, f"sqlite:///{path}") as peer:
            yield peer


@asynccontextmanager
async def unhinged(plan: Plan) -> AsyncIterator[PeerEngine]:
    """Unhinged on a file of its own; `Unavailable`."""
    python = await asyncio.to_thread(environment, plan.folder / "unhinged", *UNHINGED)
    with plan.fresh_path() as path:
        async with running(str(python), "-m", "bench.unhinged_program", str(path)) as peer:
            version, _, settings = peer.first.partition(" ")
            yield PeerEngine("Unhinged", version, settings, peer)


@asynccontextmanager
async def restate(plan: Plan) -> AsyncIterator[PeerEngine]:
    """A Restate server of one node with a Python service beside it; `Unavailable`."""
    binary = await asyncio.to_thread(restate_binary, plan.folder / "restate-server")
    python = await asyncio.to_thread(environment, plan.folder / "restate", *RESTATE)
    with plan.fresh_path() as path:
        async with (
            restate_server(binary, path.parent) as server,
            running(str(python), "-m", "bench.restate_program", server.ingress) as peer,
        ):
            sdk, _, deployment = peer.first.partition(" ")
            await server.register(deployment)
            version = f"{await server.version()}, Python SDK {sdk}"
            yield PeerEngine("Restate", version, await server.durability(), peer)
