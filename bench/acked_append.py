"""NFR-6: one acknowledged append alone, against one `aiosqlite` insert of the same row."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Iterator
from typing import Final

import aiosqlite

from bench.figures import Bar, Figure, Unit
from bench.handwritten import INSERT, SETTINGS, copied_schema
from bench.journals import OpenJournal, opened, result
from bench.rounds import Plan, alternating
from durable_core.ids import ExecutionId
from durable_core.model.entries import JournalRow

__all__ = ["measure"]

_BAR: Final = Bar(1.5)


async def measure(plan: Plan) -> list[Figure]:
    """The median of lone appends, each awaited before the next."""
    count = plan.size(500, 150)
    source, copy = plan.fresh_path(), plan.fresh_path()
    async with opened(source) as journal:
        (execution_id,) = await journal.begin(1)
        steps = itertools.count()
        copied_schema(source, copy)
        await journal.writer.append_acked(result(execution_id, next(steps)))
        (row,) = await journal.results([execution_id])
        entry_numbers = itertools.count(row.entry_no)
        async with aiosqlite.connect(copy, isolation_level=None) as connection:
            for setting in SETTINGS:
                await connection.execute(setting)

            async def ours() -> float:
                return await _appends(journal, execution_id, steps, count)

            async def reference() -> float:
                return await _inserts(connection, row, entry_numbers, count)

            paired = await alternating(plan.rounds, ours, reference)
            cursor = await connection.execute("SELECT count(*) FROM durable_journal")
            assert await cursor.fetchone() == (next(entry_numbers) - row.entry_no,)
        stored = await journal.results([execution_id])
        assert len(stored) == next(steps), "an acknowledged entry is not there"
    what = "one acknowledged append alone, p50"
    return [paired.figure("NFR-6", what, Unit.MICROSECONDS, _BAR)]


async def _appends(
    journal: OpenJournal,
    execution_id: ExecutionId,
    steps: Iterator[int],
    count: int,
) -> float:
    times = []
    for _ in range(count):
        entry = result(execution_id, next(steps))
        began = time.perf_counter_ns()
        await journal.writer.append_acked(entry)
        times.append(time.perf_counter_ns() - began)
    return statistics.median(times) / 1000


async def _inserts(
    connection: aiosqlite.Connection,
    row: JournalRow,
    entry_numbers: Iterator[int],
    count: int,
) -> float:
    """In autocommit mode: one hop to the thread, and one commit, for each insert."""
    times = []
    for _ in range(count):
        number = next(entry_numbers)
        values = row._replace(
            entry_no=number, step_id=str(number), idem_key=number.to_bytes(32, "big")
        )
        began = time.perf_counter_ns()
        await connection.execute(INSERT, values)
        times.append(time.perf_counter_ns() - began)
    return statistics.median(times) / 1000
