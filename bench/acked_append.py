"""NFR-6: one acknowledged append alone, against one `aiosqlite` insert of the same row."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import aiosqlite

from bench.figures import Bar, Figure, Unit
from bench.handwritten import INSERT, SETTINGS, copy_schema
from bench.journals import OpenJournal, opened, result
from bench.rounds import Paired, Plan, alternating
from durable_core.ids import ExecutionId
from durable_core.model.entries import JournalRow

__all__ = ["measure"]

_BAR: Final = Bar(1.5)


async def measure(plan: Plan) -> list[Figure]:
    """The median of lone appends, each awaited before the next."""
    with plan.fresh_path() as source, plan.fresh_path() as copy:
        async with opened(source) as journal:
            paired = await _paired(plan, journal, source, copy)
    what = "one acknowledged append alone, p50"
    return [paired.figure("NFR-6", what, Unit.MICROSECONDS, _BAR)]


async def _paired(plan: Plan, journal: OpenJournal, source: Path, copy: Path) -> Paired:
    count = plan.size(500, 150)
    (execution_id,) = await journal.begin(1)
    copy_schema(source, copy)
    steps = itertools.count()
    await journal.writer.append_acked(result(execution_id, next(steps)))
    (row,) = await journal.results([execution_id])
    numbers = itertools.count(row.entry_no)
    async with aiosqlite.connect(copy, isolation_level=None) as connection:
        for setting in SETTINGS:
            await connection.execute(setting)

        async def ours() -> float:
            return await _appends(journal, execution_id, steps, count)

        async def reference() -> float:
            return await _inserts(connection, row, numbers, count)

        paired = await alternating(plan.rounds, ours, reference)
        cursor = await connection.execute("SELECT count(*) FROM durable_journal")
        assert await cursor.fetchone() == (next(numbers) - row.entry_no,), "a row is not there"
    stored = await journal.results([execution_id])
    assert len(stored) == next(steps), "an acknowledged entry is not there"
    return paired


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
    numbers: Iterator[int],
    count: int,
) -> float:
    """In autocommit mode: one hop to the thread, and one commit, for each insert."""
    times = []
    for _ in range(count):
        number = next(numbers)
        values = row._replace(
            entry_no=number, step_id=str(number), idem_key=number.to_bytes(32, "big")
        )
        began = time.perf_counter_ns()
        await connection.execute(INSERT, values)
        times.append(time.perf_counter_ns() - began)
    return statistics.median(times) / 1000
