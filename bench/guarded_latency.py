"""NFR-9: five guarded steps end to end, against one hand-written commit; both at p99."""

from __future__ import annotations

import itertools
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bench.engines import guarded_five, opened_engine, verified
from bench.figures import Bar, Figure, Unit
from bench.handwritten import INSERT, copied
from bench.rounds import Paired, Plan, alternating, percentile
from bench.workload import FIRST, SUM
from durable_core import DurableEngine
from durable_core.model.entries import JournalRow

__all__ = ["measure"]

_BAR: Final = Bar(12.0)


async def measure(plan: Plan) -> list[Figure]:
    """The 99th percentile of workflows and of commits, as many of each."""
    with plan.fresh_path() as source:
        async with opened_engine(source) as engine:
            paired = await _paired(plan, engine, source)
    what = "five guarded steps end to end, against one commit, p99"
    return [paired.figure("NFR-9", what, Unit.MILLISECONDS, _BAR)]


async def _paired(plan: Plan, engine: DurableEngine, source: Path) -> Paired:
    count = plan.size(500, 150)
    await _run(engine)
    row = await _a_result(engine)
    runs, numbers = itertools.count(1), itertools.count(row.entry_no)
    with plan.fresh_path() as copy, copied(source, copy) as connection:

        async def ours() -> float:
            return percentile(await _times(engine, runs, count), 99) / 1e6

        async def reference() -> float:
            return percentile(_commits(connection, row, numbers, count), 99) / 1e6

        paired = await alternating(plan.rounds, ours, reference)
    await verified(engine, next(runs))
    return paired


async def _times(engine: DurableEngine, runs: Iterator[int], count: int) -> list[int]:
    """Nanoseconds of each workflow, from its call to its result."""
    times = []
    for _ in itertools.islice(runs, count):
        began = time.perf_counter_ns()
        await _run(engine)
        times.append(time.perf_counter_ns() - began)
    return times


async def _run(engine: DurableEngine) -> None:
    assert await engine.run(guarded_five, FIRST) == SUM, "a workflow's result is wrong"


async def _a_result(engine: DurableEngine) -> JournalRow:
    await engine.flush()
    (execution,) = await engine.list()
    rows = await engine.parts.backend.journal.read_execution(execution.execution_id)
    return rows[-2]


def _commits(
    connection: sqlite3.Connection,
    row: JournalRow,
    numbers: Iterator[int],
    count: int,
) -> list[int]:
    """Nanoseconds of each insert, which in autocommit mode is a commit."""
    times = []
    for number in itertools.islice(numbers, count):
        key = number.to_bytes(32, "big")
        values = row._replace(entry_no=number, step_id=str(number), idem_key=key)
        began = time.perf_counter_ns()
        connection.execute(INSERT, values)
        times.append(time.perf_counter_ns() - began)
    return times
