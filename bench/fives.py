"""Runs workflows of five steps, one after the other or many at once, and checks each result."""

from __future__ import annotations

from typing import Final

from bench.collector import relieved
from bench.engines import fresh_engine, verified
from bench.rounds import Plan, Sample
from bench.workload import STEPS, seconds
from durable_core import DurableConfig, DurableEngine
from durable_core.engine.definition import Workflow

__all__ = ["PATIENT", "Five", "rate_of", "run_fives", "with_relief"]

Five = Workflow[[int], int]
"""One of those in `engines`."""

PATIENT: Final = DurableConfig(journal_ack_timeout_ms=600_000)
"""For so many at once that a busy machine may not acknowledge all within the usual five seconds."""


async def run_fives(engine: DurableEngine, five: Five, workflows: int, at_once: int = 1) -> int:
    """Run that many workflows, `at_once` at any time; how many steps they had."""
    await seconds(lambda first: engine.run(five, first), at_once, workflows)
    return workflows * STEPS


def rate_of(
    plan: Plan, five: Five, workflows: int, at_once: int, config: DurableConfig | None = None
) -> Sample:
    """A sample of the steps per second of that, on a journal of its own, which is verified."""

    async def sample() -> float:
        async with fresh_engine(plan, config=config) as engine:
            took = await seconds(lambda first: engine.run(five, first), at_once, workflows)
            await verified(engine, workflows)
        return workflows * STEPS / took

    return sample


def with_relief(sample: Sample) -> Sample:
    """Takes that sample with the collector set as docs/scaling.md says."""

    async def taken() -> float:
        with relieved():
            return await sample()

    return taken
