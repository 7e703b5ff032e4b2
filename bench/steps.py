"""Steps per second of an engine, one workflow after the other and 1,000 at once; no bar."""

from __future__ import annotations

from typing import Final

from bench.engines import guarded_five, idempotent_five
from bench.figures import Figure, Unit
from bench.fives import rate_of
from bench.rounds import Plan, repeated

__all__ = ["measure"]

_AT_ONCE: Final = 1000


async def measure(plan: Plan) -> list[Figure]:
    """Four absolute rates, in workflows of five steps, each round on a journal of its own."""
    figures = []
    for label, five in (("guarded", guarded_five), ("idempotent", idempotent_five)):
        for sample, how in (
            (rate_of(plan, five, plan.size(400, 100), 1), "one after the other"),
            (rate_of(plan, five, _AT_ONCE, _AT_ONCE), f"{_AT_ONCE:,} workflows at once"),
        ):
            what = f"{label} steps, {how}"
            figures.append(await repeated(plan.rounds, sample, "steps", what, Unit.PER_SECOND))
    return figures
