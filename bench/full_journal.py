"""NFR-12: what a step costs where 1,000,000 rows are journaled, against an empty database."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from bench.engines import STEPS, guarded_five, idempotent_five, opened_engine, verified
from bench.figures import Bar, Figure, Unit
from bench.handwritten import plain
from bench.kinds import mixed, program
from bench.resuming import Promises, resolving
from bench.rounds import Plan, Sample, alternating
from durable_core import DurableEngine

__all__ = ["measure"]

_BAR: Final = Bar(1.3)
_COPIED: Final = 1000
_AT_ONCE: Final = 200
_FIRST: Final = 7
_SUM: Final = sum(range(_FIRST, _FIRST + STEPS))
_ENTRIES: Final = 200
_MIXED: Final = mixed(_ENTRIES)
_OLDEST: Final = "SELECT min(execution_id) FROM durable_executions"
_ROWS: Final = "SELECT max(seq) FROM durable_journal"
_COPY_EXECUTIONS: Final = (
    "INSERT INTO durable_executions SELECT other(execution_id, ?), workflow, execution_key, kind, "
    "status, generation, key_id, sealed, stamped, owner_id, owner_epoch, entry_count, head_hmac, "
    "anchor_mac, created_at, updated_at, finalized_at FROM durable_executions "
    "WHERE execution_id >= ?"
)
_COPY_ENTRIES: Final = (
    "INSERT INTO durable_journal (execution_id, entry_no, generation, step_id, entry_kind, "
    "fingerprint, idem_key, effect_class, detail, payload, payload_version, hmac, created_at) "
    "SELECT other(execution_id, ?), entry_no, generation, step_id, entry_kind, fingerprint, "
    "idem_key, effect_class, detail, payload, payload_version, hmac, created_at "
    "FROM durable_journal WHERE seq <= ?"
)

Work = Callable[[DurableEngine], Awaitable[int]]
"""Runs workflows; how many steps or entries that were."""


async def measure(plan: Plan) -> list[Figure]:
    """Guarded steps alone, idempotent ones among many, and entries of all kinds."""
    rows, count = plan.size(1_000_000, 100_000), plan.size(100, 20)
    promises: Promises = asyncio.Queue()
    always = asyncio.Event()
    always.set()
    long = program(_MIXED, always, promises.put_nowait)

    async def one_by_one(engine: DurableEngine) -> int:
        for _ in range(count):
            assert await engine.run(guarded_five, _FIRST) == _SUM, "a result is wrong"
        return count * STEPS

    async def at_once(engine: DurableEngine) -> int:
        runs = (engine.run(idempotent_five, _FIRST) for _ in range(_AT_ONCE))
        assert await asyncio.gather(*runs) == [_SUM] * _AT_ONCE, "a result is wrong"
        return _AT_ONCE * STEPS

    async def of_all_kinds(engine: DurableEngine) -> int:
        async with resolving(engine, promises):
            assert await engine.run(long) == _MIXED.total, "a result is wrong"
        return _ENTRIES

    works: dict[str, Work] = {
        "a guarded step, one after the other": one_by_one,
        f"an idempotent step, {_AT_ONCE} workflows at once": at_once,
        "an entry of mixed kinds": of_all_kinds,
    }
    workflows = guarded_five, idempotent_five, long
    async with AsyncExitStack() as stack:
        full, empty = (stack.enter_context(plan.fresh_path()) for _ in range(2))
        await _fill(full, rows)
        ours, reference = [
            await stack.enter_async_context(opened_engine(path, workflows))
            for path in (full, empty)
        ]
        return [
            await _figure(plan, f"{what}, behind {rows:,} rows", work, ours, reference)
            for what, work in works.items()
        ]


async def _figure(
    plan: Plan, what: str, work: Work, ours: DurableEngine, reference: DurableEngine
) -> Figure:
    def sample(engine: DurableEngine) -> Sample:
        async def sampled() -> float:
            began = time.perf_counter()
            done = await work(engine)
            return (time.perf_counter() - began) * 1e6 / done

        return sampled

    paired = await alternating(plan.rounds, sample(ours), sample(reference))
    return paired.figure("NFR-12", what, Unit.MICROSECONDS, _BAR)


async def _fill(path: Path, rows: int) -> None:
    """Write that many rows: executions that have ended, and copies of them under other ids."""
    async with opened_engine(path) as engine:
        runs = (engine.run(guarded_five, _FIRST) for _ in range(_COPIED))
        await asyncio.gather(*runs)
        await verified(engine, _COPIED)
    await asyncio.to_thread(_copy, path, rows)


def _copy(path: Path, rows: int) -> None:
    with plain(path) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.create_function(
            "other", 2, lambda stored, number: number.to_bytes(2, "big") + stored[2:]
        )
        (oldest,), (last,) = (connection.execute(text).fetchone() for text in (_OLDEST, _ROWS))
        copies = -(-rows // last)
        assert copies < int.from_bytes(oldest[:2], "big"), "the copies would have ids of the copied"
        for number in range(copies):
            connection.execute("BEGIN")
            connection.execute(_COPY_EXECUTIONS, (number, oldest))
            connection.execute(_COPY_ENTRIES, (number, last))
            connection.execute("COMMIT")
        (written,) = connection.execute(_ROWS).fetchone()
        assert written >= rows, "there are not enough rows"
