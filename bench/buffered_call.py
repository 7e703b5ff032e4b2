"""NFR-7: the call `append_buffered()`, with the entry already built."""

from __future__ import annotations

import itertools
import statistics
import time
from pathlib import Path
from typing import Final

from bench.figures import Bar, Figure, Unit
from bench.journals import opened, result
from bench.rounds import Plan, repeated

__all__ = ["measure"]

_BAR: Final = Bar(3.0)
_CALLS: Final = 1000
"""Within the queue's capacity of 1,024, so that every call is accepted."""


async def measure(plan: Plan) -> list[Figure]:
    """The median of single calls, the clock's own cost included."""
    with plan.fresh_path() as path:
        return [await _measure(plan, path)]


async def _measure(plan: Plan, path: Path) -> Figure:
    async with opened(path) as journal:
        (execution_id,) = await journal.begin(1)
        steps = itertools.count()
        append = journal.writer.append_buffered

        async def calls() -> float:
            entries = [result(execution_id, next(steps)) for _ in range(_CALLS)]
            times = []
            for entry in entries:
                began = time.perf_counter_ns()
                accepted = append(entry)
                times.append(time.perf_counter_ns() - began)
                assert accepted, "the queue had no room"
            await journal.writer.flush()
            return statistics.median(times) / 1000

        what = "append_buffered(), entry already built"
        figure = await repeated(plan.rounds, calls, "NFR-7", what, Unit.MICROSECONDS, _BAR)
        stored = await journal.results([execution_id])
        assert len(stored) == next(steps), "an accepted entry is not there"
    return figure
