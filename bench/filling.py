"""Fills a journal with executions that have ended: some are run, and the rest are their copies."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from bench.engines import STEPS, guarded_five, opened_engine, verified
from bench.fives import run_fives
from bench.handwritten import plain

__all__ = ["fill"]

_MOST_RUN: Final = 1000
_ENTRIES: Final = 2 * STEPS + 2
"""Of an execution: its start and its end, and an intent and a result of each step."""

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


async def fill(path: Path, rows: int) -> None:
    """Write that many rows or a few more into a new journal; none where `rows` is 0."""
    if not rows:
        return
    executions = min(_MOST_RUN, -(-rows // _ENTRIES))
    async with opened_engine(path) as engine:
        await run_fives(engine, guarded_five, executions, executions)
        await verified(engine, executions)
    await asyncio.to_thread(_copy, path, rows)


def _copy(path: Path, rows: int) -> None:
    with plain(path) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.create_function(
            "other", 2, lambda stored, number: number.to_bytes(2, "big") + stored[2:]
        )
        (oldest,), (last,) = (connection.execute(text).fetchone() for text in (_OLDEST, _ROWS))
        copies = -(-rows // last) - 1
        assert copies < int.from_bytes(oldest[:2], "big"), "the copies would have ids of the copied"
        for number in range(copies):
            connection.execute("BEGIN")
            connection.execute(_COPY_EXECUTIONS, (number, oldest))
            connection.execute(_COPY_ENTRIES, (number, last))
            connection.execute("COMMIT")
        (written,) = connection.execute(_ROWS).fetchone()
        assert written >= rows, "there are not enough rows"
