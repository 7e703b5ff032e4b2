"""Runs workflows of five steps, one after the other or many at once, and checks each result."""

from __future__ import annotations

from bench.workload import STEPS, seconds
from durable_core import DurableEngine
from durable_core.engine.definition import Workflow

__all__ = ["Five", "run_fives"]

Five = Workflow[[int], int]
"""One of those in `engines`."""


async def run_fives(engine: DurableEngine, five: Five, workflows: int, at_once: int = 1) -> int:
    """Run that many workflows, `at_once` at any time; how many steps they had."""
    await seconds(lambda first: engine.run(five, first), at_once, workflows)
    return workflows * STEPS
