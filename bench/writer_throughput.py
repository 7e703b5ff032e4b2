"""NFR-5: acknowledged entries at 1,000 in flight, against `executemany` at 256 rows per commit."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from attrs import frozen

from bench.figures import Bar, Figure, Unit
from bench.handwritten import INSERT, copied
from bench.journals import OpenJournal, fresh_journal, opened, result
from bench.rounds import Plan, alternating
from durable_core.ids import ExecutionId
from durable_core.model.entries import JournalRow, StepResult

__all__ = ["measure"]

_IN_FLIGHT: Final = 1000
_ROWS_PER_COMMIT: Final = 256
_BAR: Final = Bar(0.5, at_least=True)


async def measure(plan: Plan) -> list[Figure]:
    """Entries per second, with the 1,000 spread over 1,000 executions and over 10."""
    each = plan.size(20, 4)
    return [
        await _Throughput(plan, _IN_FLIGHT, each).figure(),
        await _Throughput(plan, 10, each).figure(),
    ]


@frozen
class _Throughput:
    """1,000 tasks, of which each appends `each` entries, one after the other."""

    plan: Plan
    executions: int
    each: int

    async def figure(self) -> Figure:
        with self.plan.fresh_path() as source:
            async with opened(source) as journal:
                begun = await journal.begin(self.executions)
                await _append_all(journal, self._work(begun))
                rows = await journal.results(begun)

            async def reference() -> float:
                return self._by_hand(source, rows)

            paired = await alternating(self.plan.rounds, self._ours, reference)
        what = f"acknowledged entries, 1,000 in flight in {self.executions:,} executions"
        return paired.figure("NFR-5", what, Unit.PER_SECOND, _BAR)

    async def _ours(self) -> float:
        async with fresh_journal(self.plan) as journal:
            begun = await journal.begin(self.executions)
            work = self._work(begun)
            began = time.perf_counter()
            await _append_all(journal, work)
            took = time.perf_counter() - began
            stored = await journal.results(begun)
        assert len(stored) == _IN_FLIGHT * self.each, "an acknowledged entry is not there"
        return len(stored) / took

    def _work(self, begun: Sequence[ExecutionId]) -> list[list[StepResult]]:
        return [
            [
                result(begun[task % len(begun)], task // len(begun) * self.each + number)
                for number in range(self.each)
            ]
            for task in range(_IN_FLIGHT)
        ]

    def _by_hand(self, source: Path, rows: Sequence[JournalRow]) -> float:
        with self.plan.fresh_path() as copy, copied(source, copy) as connection:
            began = time.perf_counter()
            for first in range(0, len(rows), _ROWS_PER_COMMIT):
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany(INSERT, rows[first : first + _ROWS_PER_COMMIT])
                connection.execute("COMMIT")
            took = time.perf_counter() - began
            (stored,) = connection.execute("SELECT count(*) FROM durable_journal").fetchone()
        assert stored == len(rows), "the reference lost a row"
        return len(rows) / took


async def _append_all(journal: OpenJournal, work: Sequence[Sequence[StepResult]]) -> None:
    async def append(entries: Sequence[StepResult]) -> None:
        for entry in entries:
            await journal.writer.append_acked(entry)

    await asyncio.gather(*(append(entries) for entries in work))
