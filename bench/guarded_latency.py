"""NFR-9: five guarded steps end to end, against one hand-written commit; both at p99."""

from __future__ import annotations

import itertools
import sqlite3
import time
from collections.abc import Iterator
from typing import Final

from bench.engines import STEPS, guarded_five, opened_engine, verified
from bench.figures import Bar, Figure, Unit
from bench.handwritten import INSERT, copied_schema, plain
from bench.rounds import Plan, alternating, percentile
from durable_core import DurableEngine
from durable_core.model.entries import JournalRow

__all__ = ["measure"]

_BAR: Final = Bar(12.0)
_FIRST: Final = 7
_SUM: Final = sum(range(_FIRST, _FIRST + STEPS))


async def measure(plan: Plan) -> list[Figure]:
    """The 99th percentile of workflows and of commits, as many of each."""
    count = plan.size(500, 150)
    source, copy = plan.fresh_path(), plan.fresh_path()
    runs = itertools.count(1)
    async with opened_engine(source) as engine:
        await _run(engine)
        row = await _a_result(engine)
        copied_schema(source, copy)
        with plain(copy) as connection:
            numbers = itertools.count(row.entry_no)

            async def ours() -> float:
                times = []
                for _ in range(count):
                    began = time.perf_counter_ns()
                    await _run(engine)
                    times.append(time.perf_counter_ns() - began)
                    next(runs)
                return percentile(times, 99) / 1e6

            async def reference() -> float:
                return percentile(_commits(connection, row, numbers, count), 99) / 1e6

            paired = await alternating(plan.rounds, ours, reference)
        await verified(engine, next(runs))
    what = "five guarded steps end to end, p99, against one commit"
    return [paired.figure("NFR-9", what, Unit.MILLISECONDS, _BAR)]


async def _run(engine: DurableEngine) -> None:
    assert await engine.run(guarded_five, _FIRST) == _SUM, "a workflow's result is wrong"


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
