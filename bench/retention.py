"""What a commit waits beside pruning: its 99th percentile, against that of the writer alone."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator
from typing import Final

from bench.engines import opened_engine
from bench.figures import Figure, Unit
from bench.journals import OpenJournal, opened, result
from bench.rounds import Plan, percentile
from durable_core import DurableEngine
from durable_core.contracts import CommitBatch
from durable_core.ids import ExecutionId, RandomIds
from durable_core.model.entries import EntryKind, JournalRow
from durable_core.model.execution import ExecutionRow

__all__ = ["measure"]

_ENTRIES: Final = 5
"""Of each execution: what the engine writes for a workflow of three steps."""

_AT_ONCE: Final = 250
_LONG_AGO: Final = 1_000
_PAYLOAD: Final = bytes(300)
_MAC: Final = bytes(32)
_NS: Final = 1_000_000


async def measure(plan: Plan) -> list[Figure]:
    """Lone acknowledged appends beside a run that prunes all the old executions there are."""
    executions = plan.size(100_000, 5_000)
    with plan.fresh_path() as path:
        async with opened(path) as journal, opened_engine(path, (), recover=False) as engine:
            await _fill(journal, executions)
            count = plan.size(20_000, 4_000)
            (alone, beside), seconds = await _appends(journal, engine, executions, count)
    what = f"an acknowledged append while {executions:,} executions are pruned"
    return [
        *(_figure(f"{what}, p{hundredth}", alone, beside, hundredth) for hundredth in (50, 99)),
        _rate("executions pruned per second meanwhile", executions / seconds),
        _rate("appends per second meanwhile", len(beside) / seconds),
    ]


def _figure(what: str, alone: list[float], beside: list[float], hundredth: int) -> Figure:
    ours, reference = percentile(beside, hundredth), percentile(alone, hundredth)
    return Figure("retention", what, Unit.MILLISECONDS, ours, ours / reference, reference)


def _rate(what: str, per_second: float) -> Figure:
    return Figure("retention", what, Unit.PER_SECOND, per_second, per_second)


async def _fill(journal: OpenJournal, executions: int) -> None:
    """Completed executions of long ago, as large as real ones; nobody reads them again."""
    ids = RandomIds()
    for first in range(0, executions, _AT_ONCE):
        many = [ids.execution_id().bytes for _ in range(min(_AT_ONCE, executions - first))]
        starts = tuple(_execution(one, f"order-{first + n}") for n, one in enumerate(many))
        rows = tuple(_entry(one, number) for one in many for number in range(1, _ENTRIES + 1))
        await journal.backend.journal.append(CommitBatch(starts, (), rows))


def _execution(execution_id: bytes, key: str) -> ExecutionRow:
    begin = (execution_id, "bench", key, "workflow", "completed", 0, 1, True, True, "bench", 1)
    return ExecutionRow(*begin, _ENTRIES, _MAC, _MAC, _LONG_AGO, _LONG_AGO, _LONG_AGO)


def _entry(execution_id: bytes, number: int) -> JournalRow:
    kind = EntryKind.STEP_RESULT
    idem_key = number.to_bytes(32, "big")
    return JournalRow(
        execution_id, number, 0, str(number), kind, _MAC, idem_key, 1, None, _PAYLOAD, 1, _MAC, 1
    )


async def _appends(
    journal: OpenJournal, engine: DurableEngine, executions: int, count: int
) -> tuple[tuple[list[float], list[float]], float]:
    """The times of appends before and behind, and beside; how many seconds the pruning took."""
    (execution_id,) = await journal.begin(1)
    steps = itertools.count()
    before = iter(range(count // 2))
    alone = await _times(journal, execution_id, steps, lambda: next(before, None) is not None)
    began = time.perf_counter()
    pruning = asyncio.create_task(engine.prune())
    beside = await _times(journal, execution_id, steps, lambda: not pruning.done())
    seconds = time.perf_counter() - began
    report = await pruning
    assert len(report.executions) == executions, "an execution was not pruned"
    assert report.entries == executions * _ENTRIES, "an entry was not counted"
    behind = iter(range(count // 2))
    alone += await _times(journal, execution_id, steps, lambda: next(behind, None) is not None)
    await _verified(journal, execution_id, next(steps))
    return (alone, beside), seconds


async def _times(
    journal: OpenJournal,
    execution_id: ExecutionId,
    steps: Iterator[int],
    goes_on: Callable[[], bool],
) -> list[float]:
    """Milliseconds of each append, one after the other."""
    times = []
    while goes_on():
        entry = result(execution_id, next(steps))
        began = time.perf_counter_ns()
        await journal.writer.append_acked(entry)
        times.append((time.perf_counter_ns() - began) / _NS)
    return times


async def _verified(journal: OpenJournal, execution_id: ExecutionId, appended: int) -> None:
    """Nothing else is there, and nothing of it is missing."""
    usage = await journal.backend.journal.open_usage()
    assert await journal.backend.journal.ended(None, 1) == [], "something was left"
    assert (usage.executions, usage.entries) == (1, appended + 1), "more is there, or less"
    assert await journal.backend.strays() == [], "something belongs to nobody"
    assert len(await journal.results([execution_id])) == appended, "an append is not there"
