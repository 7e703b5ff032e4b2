"""How long the executions of a killed worker stand still, on each backend; the bar is two seconds.

As a script it is that worker: `python -m bench.takeover URL` claims executions whose second step
does not return there.
"""

from __future__ import annotations

import asyncio
import logging
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

from bench.engines import opened_engine
from bench.figures import Bar, Figure, Unit
from bench.journals import journal_url
from bench.rounds import Plan
from bench.server import fresh_url, server_of
from durable_core import DurableContext, DurableEngine, step, workflow
from durable_core.engine.definition import Workflow

__all__ = ["measure"]

_EXECUTIONS: Final = 20
_BAR: Final = Bar(2000)

_Kill = Callable[[], Awaitable[None]]


def _program(gate: asyncio.Event) -> Workflow[[], str]:
    """A workflow whose second step waits for the gate."""

    @step(name="note")
    async def note() -> str:
        return "noted"

    @step(name="wait")
    async def wait() -> str:
        await gate.wait()
        return "went on"

    @workflow(name="handed_over")
    async def handed_over(ctx: DurableContext) -> str:
        await ctx.step(note)
        return await ctx.step(wait)

    return handed_over


async def measure(plan: Plan) -> list[Figure]:
    """From SIGKILL to the last result of 20 executions, which another engine took over."""
    with plan.fresh_path() as path:
        on_sqlite = [await _round(journal_url(path)) for _ in range(plan.rounds)]
    with server_of(plan) as server:
        url = await fresh_url(server)
        on_postgres = [await _round(url) for _ in range(plan.rounds)]
    return [_figure("SQLite", on_sqlite), _figure("Postgres", on_postgres)]


async def _round(url: str) -> float:
    """The milliseconds of one takeover."""
    gate = asyncio.Event()
    gate.set()
    program = _program(gate)
    async with opened_engine(url, (), recover=False) as front:
        handles = [await front.start(program, run="anywhere") for _ in range(_EXECUTIONS)]
        async with _worker(url) as (owner, kill):
            await _held_by(front, owner)
            async with opened_engine(url, [program], claim=True):
                await kill()
                began = time.perf_counter()
                results = await asyncio.gather(*(handle.result() for handle in handles))
                took = time.perf_counter() - began
    assert results == ["went on"] * _EXECUTIONS, "a workflow's result is wrong"
    return took * 1000


async def _held_by(front: DurableEngine, owner: str) -> None:
    """Wait until the worker has all of them, and each first step is in the journal."""
    async with asyncio.timeout(30):
        while True:
            rows = await front.list(status="running")
            if [row for row in rows if row.owner_id == owner and row.entry_count > 1] == rows:
                return
            await asyncio.sleep(0.01)  # nobody tells the front, and this is not what is timed


def _figure(backend: str, rounds: list[float]) -> Figure:
    what = f"a killed worker's executions have ended elsewhere, {backend}"
    slowest = max(rounds)
    return Figure(
        "takeover",
        what,
        Unit.MILLISECONDS,
        statistics.median(rounds),
        slowest,
        low=min(rounds),
        high=slowest,
        bar=_BAR,
        note="the bar is for the slowest round",
    )


@asynccontextmanager
async def _worker(url: str) -> AsyncIterator[tuple[str, _Kill]]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.takeover", url), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None

    async def kill() -> None:
        process.kill()
        await process.wait()

    try:
        yield (await process.stdout.readline()).decode().strip(), kill
    finally:
        if process.returncode is None:
            await kill()


async def _work(url: str) -> None:
    logging.getLogger("durable_core").addHandler(logging.NullHandler())
    never = asyncio.Event()
    async with opened_engine(url, [_program(never)], claim=True) as engine:
        print(engine.parts.journal.owner_id, flush=True)
        await never.wait()


if __name__ == "__main__":
    asyncio.run(_work(sys.argv[1]))
