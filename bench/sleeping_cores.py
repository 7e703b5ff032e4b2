"""What steps one after the other wait for the cores to wake, of which nothing is ours."""

from __future__ import annotations

from bench.awake import kept_awake
from bench.engines import guarded_five, idempotent_five
from bench.figures import Figure, Unit
from bench.rounds import Plan, alternating
from bench.steps import sequential

__all__ = ["measure"]


async def measure(plan: Plan) -> list[Figure]:
    """Steps per second as they are, against those on cores that are kept awake."""
    figures = []
    for label, five in (("guarded", guarded_five), ("idempotent", idempotent_five)):
        sample = sequential(plan, five)
        rounds = await alternating(plan.rounds, sample, kept_awake(sample))
        what = f"{label} steps, one after the other, against cores that are kept awake"
        figures.append(rounds.figure("sleeping-cores", what, Unit.PER_SECOND, None))
    return figures
