"""How many updates of `durable_executions` leave its indexes alone, on Postgres; no bar."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Final

import asyncpg

from bench.engines import guarded_five, opened_engine, verified
from bench.figures import Figure, Unit
from bench.rounds import Plan
from bench.server import fresh_url, server_of
from bench.workload import FIRST, SUM
from durable_core import DurableEngine

__all__ = ["measure"]

_AT_ONCE: Final = 1000
_COUNTED_S: Final = 10.0
_PAUSE_S: Final = 0.05
_FULL_PAGES: Final = "ALTER TABLE durable_executions SET (fillfactor = 100)"
_SHARE: Final = (
    "SELECT 100.0 * n_tup_hot_upd / nullif(n_tup_upd, 0) FROM pg_stat_user_tables "
    "WHERE relname = 'durable_executions'"
)


async def measure(plan: Plan) -> list[Figure]:
    """The share in 1,000 guarded workflows at once; the reference fills its pages."""
    with server_of(plan) as server:
        ours = await _share(await fresh_url(server), full_pages=False)
        reference = await _share(await fresh_url(server), full_pages=True)
    what = "heads updated in place (HOT), against fillfactor 100"
    return [Figure("hot-updates", what, Unit.PERCENT, ours, ours / reference, reference)]


async def _share(url: str, *, full_pages: bool) -> float:
    async with opened_engine(url) as engine:
        if full_pages:
            await _ask(url, _FULL_PAGES)
        await asyncio.gather(*(_run(engine) for _ in range(_AT_ONCE)))
        await verified(engine, _AT_ONCE)
    async with asyncio.timeout(_COUNTED_S):
        while True:  # until the writer's session has ended, and counted what it did
            share = await _ask(url, _SHARE)
            if share is not None:
                return float(share)
            await asyncio.sleep(_PAUSE_S)


async def _ask(url: str, text: str) -> Decimal | None:
    connection = await asyncpg.connect(url)
    try:
        answer: Decimal | None = await connection.fetchval(text)
    finally:
        await connection.close()
    return answer


async def _run(engine: DurableEngine) -> None:
    assert await engine.run(guarded_five, FIRST) == SUM, "a workflow's result is wrong"
