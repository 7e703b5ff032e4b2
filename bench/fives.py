"""Runs workflows of five steps, one after the other or many at once, and checks each result."""

from __future__ import annotations

import asyncio
from typing import Final

from bench.engines import STEPS
from durable_core import DurableConfig, DurableEngine
from durable_core.engine.definition import Workflow

__all__ = ["PATIENT", "Five", "run_fives"]

Five = Workflow[[int], int]
"""One of those in `engines`."""

PATIENT: Final = DurableConfig(journal_ack_timeout_ms=60_000)
"""For so many at once that a busy machine may not acknowledge all within the usual five seconds."""

_FIRST: Final = 7
_SUM: Final = sum(range(_FIRST, _FIRST + STEPS))


async def run_fives(engine: DurableEngine, five: Five, workflows: int, at_once: int = 1) -> int:
    """Run that many workflows, `at_once` at any time; how many steps they had.

    `at_once` divides `workflows`.
    """
    each, left = divmod(workflows, at_once)
    assert not left, "some would run more workflows than others"

    async def one_after_the_other() -> None:
        for _ in range(each):
            assert await engine.run(five, _FIRST) == _SUM, "a workflow's result is wrong"

    await asyncio.gather(*(one_after_the_other() for _ in range(at_once)))
    return workflows * STEPS
