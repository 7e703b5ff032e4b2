"""Steps per second of an engine, one workflow after the other and 1,000 at once; no bar."""

from __future__ import annotations

import time
from typing import Final

from bench.engines import fresh_engine, guarded_five, idempotent_five, verified
from bench.figures import Figure, Unit
from bench.fives import Five, run_fives
from bench.rounds import Plan, Sample, repeated

__all__ = ["measure"]

_AT_ONCE: Final = 1000


async def measure(plan: Plan) -> list[Figure]:
    """Four absolute rates, in workflows of five steps, each round on a journal of its own."""
    figures = []
    for label, five in (("guarded", guarded_five), ("idempotent", idempotent_five)):
        for sample, how in (
            (_sample(plan, five, plan.size(400, 100), 1), "one after the other"),
            (_sample(plan, five, _AT_ONCE, _AT_ONCE), f"{_AT_ONCE:,} workflows at once"),
        ):
            what = f"{label} steps, {how}"
            figures.append(await repeated(plan.rounds, sample, "steps", what, Unit.PER_SECOND))
    return figures


def _sample(plan: Plan, five: Five, workflows: int, at_once: int) -> Sample:
    async def sample() -> float:
        async with fresh_engine(plan) as engine:
            began = time.perf_counter()
            steps = await run_fives(engine, five, workflows, at_once)
            took = time.perf_counter() - began
            await verified(engine, workflows)
        return steps / took

    return sample
