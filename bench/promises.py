"""What 10,000 promises that are waited for cost an engine, and how soon one of them is heard.

As a script it is another process, which resolves: `python -m bench.promises URL` reads ids and
tokens, and says when it began with each.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from attrs import evolve, frozen

from bench.engines import opened_engine
from bench.figures import Bar, Figure, Unit
from bench.journals import KEYS, journal_url
from bench.memory import traced
from bench.parked import VALUE, Parked
from bench.peers import Peer, running
from bench.rounds import Plan, percentile
from bench.server import fresh_url, server_of
from bench.statements import Counted
from durable_core import DurableEngine, DurableHandle, DurablePromise

__all__ = ["measure", "measure_on_postgres"]

_NAME: Final = "promises"
_WARM: Final = 20
_WEIGHED: Final = 500
_STORM: Final = Bar(1.5)
"""With all of them waiting, an engine asks its database about as often as with none."""

Resolve = Callable[[DurablePromise[int]], Awaitable[float]]
"""Resolves a promise; when it began to, by the monotonic clock."""


@frozen
class _Rest:
    """What an engine costs that has nothing to do."""

    statements: float
    rows: float
    cpu: float


async def measure(plan: Plan) -> list[Figure]:
    """On SQLite."""
    with plan.fresh_path() as path:
        return await _measure(plan, journal_url(path), "SQLite")


async def measure_on_postgres(plan: Plan) -> list[Figure]:
    """On Postgres; what the server itself uses is not in the figures."""
    with server_of(plan) as server:
        return await _measure(plan, await fresh_url(server), "Postgres")


async def _measure(plan: Plan, url: str, backend: str) -> list[Figure]:
    count = plan.size(10_000, 2000)
    samples = plan.size(100, 30)
    seconds = plan.size(20, 5)
    parked = Parked()
    others = running(sys.executable, "-m", "bench.promises", url)
    async with opened_engine(url, [parked.workflow]) as engine, others as peer:
        counted = Counted.beside(engine)
        alone = await _rest(counted, seconds)
        weight = await _weight(engine, parked)
        resolves = {"this process": _here(engine), "another process": _there(peer)}
        few = {how: await _wakes(parked, resolve, samples) for how, resolve in resolves.items()}
        handles = await parked.more(engine, count)
        rest = await _rest(counted, seconds)
        many = {how: await _wakes(parked, resolve, samples) for how, resolve in resolves.items()}
        results = await asyncio.gather(*(each.result() for each in handles[-2 * samples :]))
        assert results == [VALUE] * len(results), "a workflow's result is wrong"
        report = await engine.verify()
        assert report.unstamped == 0, "an execution is not chained"
    what = f"{count:,} executions wait on {backend}"
    return [
        *_costs(what, alone, rest),
        Figure(_NAME, f"{what}: memory of one", Unit.BYTES, weight, weight),
        *(_latency(what, how, few[how], many[how]) for how in resolves),
    ]


async def _rest(counted: Sequence[Counted], seconds: int) -> _Rest:
    """Let the engine be for that long."""
    await asyncio.sleep(1)  # what was begun before is over
    before = [(each.statements, each.read) for each in counted]
    began, used = time.monotonic(), time.process_time()
    await asyncio.sleep(seconds)
    took = time.monotonic() - began
    cpu = (time.process_time() - used) / took * 60
    asked = [
        (each.statements - statements, each.read - read)
        for each, (statements, read) in zip(counted, before, strict=True)
    ]
    return _Rest(sum(a for a, _ in asked) / took, sum(b for _, b in asked) / took, cpu)


async def _weight(engine: DurableEngine, parked: Parked) -> float:
    """The bytes that one execution takes which waits. All of them are resolved afterwards."""
    with traced() as allocated:
        await parked.more(engine, _WARM)
        before = allocated.now
        await parked.more(engine, _WEIGHED)
        return (allocated.now - before) / _WEIGHED


async def _wakes(parked: Parked, resolve: Resolve, samples: int) -> list[float]:
    """The milliseconds from the beginning of each resolution to its wake, one after the other."""
    took = []
    for _ in range(samples):
        promise = parked.take()
        began = await resolve(promise)
        took.append((await parked.woken(promise) - began) * 1000)
    return took


def _here(engine: DurableEngine) -> Resolve:
    async def resolve(promise: DurablePromise[int]) -> float:
        began = time.monotonic()
        await engine.resolve(promise.id, promise.token, VALUE)
        return began

    return resolve


def _there(peer: Peer) -> Resolve:
    async def resolve(promise: DurablePromise[int]) -> float:
        return float(await peer.ask(promise.id, promise.token.hex()))

    return resolve


def _costs(what: str, alone: _Rest, rest: _Rest) -> list[Figure]:
    ratio = rest.statements / alone.statements
    statements = Figure(
        _NAME,
        f"{what}: statements, against none",
        Unit.PER_SECOND,
        rest.statements,
        ratio,
        alone.statements,
        bar=_STORM,
        note=f"{rest.rows:.0f} rows/s come of them, against {alone.rows:.0f}",
    )
    cpu = f"{what}: CPU time, against none"
    used = Figure(_NAME, cpu, Unit.SECONDS_PER_MINUTE, rest.cpu, rest.cpu / alone.cpu, alone.cpu)
    return [statements, used]


def _latency(what: str, how: str, few: Sequence[float], many: Sequence[float]) -> Figure:
    ours, reference = statistics.median(many), statistics.median(few)
    figure = Figure(
        _NAME,
        f"{what}: wake by {how}, against {_WEIGHED:,}",
        Unit.MILLISECONDS,
        ours,
        ours / reference,
        reference,
    )
    late = f"p99 {percentile(many, 99):.3g} ms, against {percentile(few, 99):.3g} ms"
    return evolve(figure, note=late)


async def _resolve(url: str) -> None:
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        promise_id, token = line.split()
        handle = DurableHandle.open(url, promise_id, bytes.fromhex(token), keys=KEYS)
        async with handle as promise:
            began = time.monotonic()
            await promise.resolve(VALUE)
        print(began, flush=True)


if __name__ == "__main__":
    asyncio.run(_resolve(sys.argv[1]))
