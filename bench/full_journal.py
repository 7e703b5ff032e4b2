"""NFR-12: what a step costs in a journal of 1,000,000 rows, against an empty one, and between."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Final

from bench.curves import Curve, point_of
from bench.engines import guarded_five, idempotent_five, opened_engine
from bench.figures import Bar, Figure, Unit
from bench.filling import fill
from bench.fives import run_fives
from bench.kinds import mixed, program
from bench.resuming import Promises, resolving
from bench.rounds import Paired, Plan, Sample, in_rounds
from durable_core import DurableEngine
from durable_core.ids import ExecutionId

__all__ = ["measure"]

_BAR: Final = Bar(1.3)
_ROWS: Final = (0, 10_000, 100_000, 1_000_000)
_QUICK: Final = (0, 1000, 10_000, 100_000)
_AT_ONCE: Final = 200
_ENTRIES: Final = 200
_MIXED: Final = mixed(_ENTRIES)
_MORE_THAN_THERE_ARE: Final = 1_000_000

Work = Callable[[DurableEngine], Awaitable[int]]
"""Runs workflows; how many steps or entries that were."""


async def measure(plan: Plan) -> list[Figure | Curve]:
    """Guarded steps alone, idempotent ones among many, and entries of all kinds."""
    rows, count = (_QUICK, 20) if plan.quick else (_ROWS, 100)
    promises: Promises = asyncio.Queue()
    always = asyncio.Event()
    always.set()
    long = program(_MIXED, always, promises.put_nowait)

    async def one_by_one(engine: DurableEngine) -> int:
        return await run_fives(engine, guarded_five, count)

    async def at_once(engine: DurableEngine) -> int:
        return await run_fives(engine, idempotent_five, _AT_ONCE, _AT_ONCE)

    async def of_all_kinds(engine: DurableEngine) -> int:
        async with resolving(engine, promises):
            assert await engine.run(long) == _MIXED.total, "a result is wrong"
        return _ENTRIES

    works: dict[str, Work] = {
        "a guarded step, one after the other": one_by_one,
        f"an idempotent step, {_AT_ONCE} workflows at once": at_once,
        "an entry of mixed kinds": of_all_kinds,
    }
    workflows = guarded_five, idempotent_five, long
    async with AsyncExitStack() as stack:
        engines: dict[int, DurableEngine] = {}
        for size in rows:
            path = stack.enter_context(plan.fresh_path())
            await fill(path, size)
            engines[size] = await stack.enter_async_context(opened_engine(path, workflows))
        lines = [await _lines(plan, what, work, engines) for what, work in works.items()]
        for engine in engines.values():
            await _verified(engine)
    return [*(figure for figure, _ in lines), *(curve for _, curve in lines)]


async def _lines(
    plan: Plan, what: str, work: Work, engines: Mapping[int, DurableEngine]
) -> tuple[Figure, Curve]:
    """The fullest against the empty one, and all of them; in the same rounds."""

    def sample(engine: DurableEngine) -> Sample:
        async def sampled() -> float:
            began = time.perf_counter()
            done = await work(engine)
            return (time.perf_counter() - began) * 1e6 / done

        return sampled

    taken = await in_rounds(plan.rounds, [sample(engine) for engine in engines.values()])
    behind = f"{what}, behind {max(engines):,} rows"
    figure = Paired(taken[-1], taken[0]).figure("NFR-12", behind, Unit.MICROSECONDS, _BAR)
    points = tuple(point_of(size, costs) for size, costs in zip(engines, taken, strict=True))
    value, axis, unit = "time of a step", "rows in the journal", Unit.MICROSECONDS
    return figure, Curve("curve-journal", value, what, axis, unit, points)


async def _verified(engine: DurableEngine) -> None:
    """Every chain that the engine has written itself verifies; a copy's does not."""
    await engine.flush()
    owner = engine.parts.journal.owner_id
    rows = await engine.list(status="completed", limit=_MORE_THAN_THERE_ARE)
    own = [row.execution_id for row in rows if row.owner_id == owner]
    assert own, "no execution has completed"
    for execution_id in own:
        report = await engine.verify(ExecutionId(bytes=execution_id))
        assert (report.executions, report.unstamped) == (1, 0), "an execution is not chained"
