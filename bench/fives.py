"""Runs workflows of five steps, one after the other or many at once, and checks each result."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from bench.engines import STEPS, fresh_engine, verified
from bench.rounds import Plan, Sample
from durable_core import DurableConfig, DurableEngine
from durable_core.engine.definition import Workflow

__all__ = ["PATIENT", "Five", "in_lanes", "rate_of", "run_fives"]

Five = Workflow[[int], int]
"""One of those in `engines`."""

PATIENT: Final = DurableConfig(journal_ack_timeout_ms=600_000)
"""For so many at once that a busy machine may not acknowledge all within the usual five seconds."""

_FIRST: Final = 7
_SUM: Final = sum(range(_FIRST, _FIRST + STEPS))


async def run_fives(engine: DurableEngine, five: Five, workflows: int, at_once: int = 1) -> int:
    """Run that many workflows, `at_once` at any time; how many steps they had."""

    async def one() -> None:
        assert await engine.run(five, _FIRST) == _SUM, "a workflow's result is wrong"

    await in_lanes(one, workflows, at_once)
    return workflows * STEPS


def rate_of(
    plan: Plan, five: Five, workflows: int, at_once: int, config: DurableConfig | None = None
) -> Sample:
    """A sample of the steps per second of that, on a journal of its own, which is verified."""

    async def sample() -> float:
        async with fresh_engine(plan, config=config) as engine:
            began = time.perf_counter()
            steps = await run_fives(engine, five, workflows, at_once)
            took = time.perf_counter() - began
            await verified(engine, workflows)
        return steps / took

    return sample


async def in_lanes(one: Callable[[], Awaitable[None]], times: int, at_once: int) -> None:
    """Do one thing that many times, `at_once` at any time; `at_once` divides `times`."""
    each, left = divmod(times, at_once)
    assert not left, "some lanes would have more to do than others"

    async def lane() -> None:
        for _ in range(each):
            await one()

    await asyncio.gather(*(lane() for _ in range(at_once)))
