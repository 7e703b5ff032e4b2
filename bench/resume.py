"""NFR-8: the resume of 5,000 steps, against `fetchall` of the same rows."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from bench.figures import Bar, Figure, Unit
from bench.handwritten import plain
from bench.journals import NAME, VALUE, OpenJournal, fingerprint, opened, result
from bench.kinds import Kind, branches, mixed, sequential
from bench.resuming import left_running, resume
from bench.rounds import Paired, Plan, alternating
from durable_core.ids import ExecutionId
from durable_core.model.effects import EffectClass
from durable_core.replay.cursor import ReplayCursor
from durable_core.replay.lookup import Recorded, Wanted
from durable_core.wire.payload import PayloadCodec

__all__ = ["measure"]

_STEPS: Final = 5000
_BRANCHES: Final = 100
_BAR: Final = Bar(15.0)
_SELECT: Final = (
    "SELECT execution_id, entry_no, generation, step_id, entry_kind, fingerprint, idem_key, "
    "effect_class, detail, payload, payload_version, hmac, created_at FROM durable_journal "
    "WHERE execution_id = ? ORDER BY entry_no"
)


async def measure(plan: Plan) -> list[Figure]:
    """The journal's share, and the whole of it: claim, call each step, replay, finish."""
    steps = plan.size(_STEPS, _STEPS // 5)
    kinds = (sequential(steps), branches(steps, _BRANCHES), mixed(steps))
    return [await _journal(plan, steps), *[await _engine(plan, kind) for kind in kinds]]


async def _journal(plan: Plan, steps: int) -> Figure:
    with plan.fresh_path() as path:
        paired = await _paired(plan, path, steps)
    what = f"{steps:,} steps read, verified, opened, decoded, matched"
    return paired.figure("NFR-8", what, Unit.MILLISECONDS, _BAR)


async def _paired(plan: Plan, path: Path, steps: int) -> Paired:
    async with opened(path) as journal:
        (execution_id,) = await journal.begin(1)
        for number in range(steps):
            if not journal.writer.append_buffered(result(execution_id, number)):
                await journal.writer.append_acked(result(execution_id, number))
        await journal.writer.flush()
        wanted = [
            Wanted(str(number), NAME, fingerprint(number), EffectClass.IDEMPOTENT, ())
            for number in range(steps)
        ]
        with plain(path) as connection:

            async def ours() -> float:
                return await _replay(journal, execution_id, wanted)

            async def reference() -> float:
                return _fetch(connection, execution_id.bytes, steps)

            return await alternating(plan.rounds, ours, reference)


async def _replay(
    journal: OpenJournal,
    execution_id: ExecutionId,
    wanted: Sequence[Wanted],
) -> float:
    codec = PayloadCodec(1 << 20)
    values = 0
    began = time.perf_counter()
    cursor = ReplayCursor(await journal.reader(execution_id))
    await cursor.open()
    for step in wanted:
        found = await cursor.look_up(step)
        assert isinstance(found, Recorded), "a journaled step was not found"
        values += codec.decode(cursor.open_payload(found.row)[1:], bytes) == VALUE
    await cursor.finish()
    took = time.perf_counter() - began
    assert values == len(wanted), "a replayed value is wrong"
    return took * 1000


def _fetch(connection: sqlite3.Connection, execution_id: bytes, steps: int) -> float:
    began = time.perf_counter()
    rows = connection.execute(_SELECT, (execution_id,)).fetchall()
    took = time.perf_counter() - began
    assert len(rows) > steps, "the reference did not read every row"
    return took * 1000


async def _engine(plan: Plan, kind: Kind) -> Figure:
    with plan.fresh_path() as source:
        execution_id = await left_running(source, kind)
        with plain(source) as connection:

            async def ours() -> float:
                with plan.fresh_path() as copy:
                    with closing(sqlite3.connect(copy)) as target:
                        connection.backup(target)
                    return await resume(copy, execution_id, kind)

            async def reference() -> float:
                return _fetch(connection, execution_id.bytes, plan.size(_STEPS, _STEPS // 5))

            paired = await alternating(plan.rounds, ours, reference)
    what = f"{kind.what} resumed by an engine, claim to result"
    return paired.figure("NFR-8", what, Unit.MILLISECONDS, _BAR)
