"""Steps per second of an engine, one workflow after the other and 1,000 at once; no bar."""

from __future__ import annotations

from typing import Final

from bench.engines import fresh_engine, guarded_five, idempotent_five, verified
from bench.figures import Figure, Unit
from bench.rounds import Plan, Sample, repeated
from bench.workload import STEPS, seconds
from durable_core.engine.definition import Workflow

__all__ = ["AT_ONCE", "concurrent", "measure", "sequential"]

AT_ONCE: Final = 1000

_Five = Workflow[[int], int]


async def measure(plan: Plan) -> list[Figure]:
    """Four absolute rates, in workflows of five steps, each round on a journal of its own."""
    figures = []
    for label, five in (("guarded", guarded_five), ("idempotent", idempotent_five)):
        for sample, how in (
            (sequential(plan, five), "one after the other"),
            (concurrent(plan, five), f"{AT_ONCE:,} workflows at once"),
        ):
            what = f"{label} steps, {how}"
            figures.append(await repeated(plan.rounds, sample, "steps", what, Unit.PER_SECOND))
    return figures


def sequential(plan: Plan, five: _Five) -> Sample:
    """Takes the steps per second of workflows that run one after the other."""
    return _rate(plan, five, 1, plan.size(400, 100))


def concurrent(plan: Plan, five: _Five) -> Sample:
    """Takes the steps per second of 1,000 workflows at once."""
    return _rate(plan, five, AT_ONCE, AT_ONCE)


def _rate(plan: Plan, five: _Five, at_once: int, count: int) -> Sample:
    async def sample() -> float:
        async with fresh_engine(plan) as engine:
            took = await seconds(lambda first: engine.run(five, first), at_once, count)
            await verified(engine, count)
        return count * STEPS / took

    return sample
