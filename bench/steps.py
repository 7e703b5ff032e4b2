"""Steps per second of an engine, one workflow after the other and 1,000 at once; no bar."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from bench.engines import STEPS, fresh_engine, guarded_five, idempotent_five, verified
from bench.figures import Figure, Unit
from bench.rounds import Plan, Sample, repeated
from durable_core import DurableEngine
from durable_core.engine.definition import Workflow

__all__ = ["measure"]

_AT_ONCE: Final = 1000
_FIRST: Final = 7
_SUM: Final = sum(range(_FIRST, _FIRST + STEPS))

Five = Workflow[[int], int]


async def measure(plan: Plan) -> list[Figure]:
    """Four absolute rates, in workflows of five steps, each round on a journal of its own."""
    figures = []
    for label, five in (("guarded", guarded_five), ("idempotent", idempotent_five)):
        for sample, how in (
            (_sequential(plan, five), "one after the other"),
            (_concurrent(plan, five), f"{_AT_ONCE:,} workflows at once"),
        ):
            what = f"{label} steps, {how}"
            figures.append(await repeated(plan.rounds, sample, "steps", what, Unit.PER_SECOND))
    return figures


def _sequential(plan: Plan, five: Five) -> Sample:
    count = plan.size(400, 100)

    async def sample() -> float:
        async with fresh_engine(plan) as engine:
            began = time.perf_counter()
            for _ in range(count):
                await _run(engine, five)
            took = time.perf_counter() - began
            await verified(engine, count)
        return count * STEPS / took

    return sample


def _concurrent(plan: Plan, five: Five) -> Sample:
    async def sample() -> float:
        async with fresh_engine(plan) as engine:
            began = time.perf_counter()
            await asyncio.gather(*(_run(engine, five) for _ in range(_AT_ONCE)))
            took = time.perf_counter() - began
            await verified(engine, _AT_ONCE)
        return _AT_ONCE * STEPS / took

    return sample


async def _run(engine: DurableEngine, five: Five) -> None:
    assert await engine.run(five, _FIRST) == _SUM, "a workflow's result is wrong"
