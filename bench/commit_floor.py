"""What steps one after the other wait for at least: the commits of their workflow, by hand.

A workflow of five guarded steps makes six commits of two rows each, one of idempotent steps makes
one of seven. Here the rows are written once more without an engine, sealed and chained already,
with the head of the execution in each commit.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from attrs import frozen

from bench.engines import STEPS, guarded_five, idempotent_five, opened_engine, verified
from bench.figures import Figure, Unit
from bench.fives import Five, run_fives
from bench.handwritten import INSERT, SETTINGS, copy_schema
from bench.rounds import Paired, Plan, in_rounds
from durable_core import DurableEngine
from durable_core.model.entries import JournalRow
from durable_core.model.execution import ExecutionRow

__all__ = ["measure"]

_NAME: Final = "commit-floor"
_EXECUTION: Final = (
    "INSERT INTO durable_executions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_HEAD: Final = (
    "UPDATE durable_executions SET status = ?, entry_count = ?, head_hmac = ?, anchor_mac = ?, "
    "updated_at = ?, finalized_at = ? WHERE execution_id = ? AND owner_epoch = ?"
)


@frozen
class _Kind:
    """A class of steps: a workflow of five of them, and how many rows each of its commits has."""

    label: str
    five: Five
    rows: int


_KINDS: Final = (_Kind("guarded", guarded_five, 2), _Kind("idempotent", idempotent_five, 7))


async def measure(plan: Plan) -> list[Figure]:
    """A step by the engine against its commits in a thread, and those against no thread."""
    return [figure for kind in _KINDS for figure in await _of(plan, kind)]


async def _of(plan: Plan, kind: _Kind) -> list[Figure]:
    with plan.fresh_path() as source, plan.fresh_path() as copy:
        async with opened_engine(source) as engine:
            await run_fives(engine, kind.five, 1)
            execution, rows = await _written(engine)
            copy_schema(source, copy)
            count, workflows = plan.size(400, 100), itertools.count(1)
            with ThreadPoolExecutor(1) as threads:
                by_hand = _ByHand(copy, threads, execution, rows, kind.rows)
                engines, threaded, plain = await in_rounds(
                    plan.rounds,
                    (
                        lambda: _engines(engine, kind.five, workflows, count),
                        lambda: by_hand.in_a_thread(count),
                        lambda: by_hand.in_the_callers(count),
                    ),
                )
            by_hand.check()
            await verified(engine, next(workflows))
    steps = f"{kind.label} steps, one after the other"
    whole = f"{steps}: one, against its part of the commits by hand in a thread"
    hop = f"{steps}: those commits by hand in a thread, against the caller's thread"
    return [
        Paired(engines, threaded).figure(_NAME, whole, Unit.MICROSECONDS, None),
        Paired(threaded, plain).figure(_NAME, hop, Unit.MICROSECONDS, None),
    ]


async def _written(engine: DurableEngine) -> tuple[ExecutionRow, Sequence[JournalRow]]:
    """The execution of a workflow of five, and its rows."""
    (execution,) = await engine.list()
    rows = await engine.parts.backend.journal.read_execution(execution.execution_id)
    return execution, rows


async def _engines(
    engine: DurableEngine, five: Five, workflows: Iterator[int], count: int
) -> float:
    """Microseconds of a step; counts its workflows."""
    began = time.perf_counter()
    for _ in itertools.islice(workflows, count):
        await run_fives(engine, five, 1)
    return (time.perf_counter() - began) / (count * STEPS) * 1e6


class _ByHand:
    """Writes the rows of such workflows again and again, each under an id of its own."""

    def __init__(
        self,
        path: Path,
        threads: ThreadPoolExecutor,
        execution: ExecutionRow,
        rows: Sequence[JournalRow],
        in_a_commit: int,
    ) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        for setting in SETTINGS:
            self._connection.execute(setting)
        self._threads = threads
        self._execution = execution
        self._commits = [rows[at : at + in_a_commit] for at in range(0, len(rows), in_a_commit)]
        self._written = itertools.count()

    async def in_a_thread(self, count: int) -> float:
        """Microseconds of a step; the event loop awaits each commit."""
        loop, began = asyncio.get_running_loop(), time.perf_counter()
        for commits in self._workflows(count):
            for commit in commits:
                await loop.run_in_executor(self._threads, self._commit, *commit)
        return (time.perf_counter() - began) / (count * STEPS) * 1e6

    async def in_the_callers(self, count: int) -> float:
        """The same, where nothing is handed to a thread."""
        began = time.perf_counter()
        for commits in self._workflows(count):
            for commit in commits:
                self._commit(*commit)
        return (time.perf_counter() - began) / (count * STEPS) * 1e6

    def check(self) -> None:
        """Whether every row is there; closes the file."""
        (stored,) = self._connection.execute("SELECT count(*) FROM durable_journal").fetchone()
        each = sum(map(len, self._commits))
        assert stored == next(self._written) * each, "a row is not there"
        self._connection.close()

    def _workflows(self, count: int) -> Iterator[list[tuple[ExecutionRow, list[JournalRow]]]]:
        """Of each workflow its commits: the execution, and the rows."""
        for _ in range(count):
            next(self._written)
            execution_id = os.urandom(16)
            execution = self._execution._replace(execution_id=execution_id)
            yield [
                (execution, [row._replace(execution_id=execution_id) for row in rows])
                for rows in self._commits
            ]

    def _commit(self, execution: ExecutionRow, rows: Sequence[JournalRow]) -> None:
        connection, first = self._connection, rows[0].entry_no == 1
        connection.execute("BEGIN IMMEDIATE")
        if first:
            connection.execute(_EXECUTION, execution)
        for row in rows:
            connection.execute(INSERT, row)
        if not first:
            last = rows[-1]
            done = last.entry_no == execution.entry_count
            values = (
                execution.status if done else "running",
                *(last.entry_no, last.hmac, execution.anchor_mac, last.created_at),
                execution.finalized_at if done else None,
            )
            connection.execute(_HEAD, (*values, execution.execution_id, execution.owner_epoch))
        connection.execute("COMMIT")
