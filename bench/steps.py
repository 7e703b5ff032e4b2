"""Steps per second of an engine, one workflow after the other and 1,000 at once; no bar."""

from __future__ import annotations

from typing import Final

from bench.engines import guarded_five, idempotent_five
from bench.figures import Figure, Unit
from bench.fives import Five, rate_of
from bench.rounds import Plan, Sample, repeated

__all__ = ["AT_ONCE", "concurrent", "measure", "sequential"]

AT_ONCE: Final = 1000


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


def sequential(plan: Plan, five: Five) -> Sample:
    """Takes the steps per second of workflows that run one after the other."""
    return rate_of(plan, five, plan.size(400, 100), 1)


def concurrent(plan: Plan, five: Five) -> Sample:
    """Takes the steps per second of 1,000 workflows at once."""
    return rate_of(plan, five, AT_ONCE, AT_ONCE)
