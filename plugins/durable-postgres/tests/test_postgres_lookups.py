"""Promises and timers go with their batch, in its one statement, and by their keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import evolve

from durable_postgres import _sql

if TYPE_CHECKING:
    from conftest import Opener

    from durable_core.conformance.rows import Rows


async def test_a_batch_with_promises_and_timers_is_one_statement_as_well(
    opener: Opener, rows: Rows
) -> None:
    """Of its own, so that what has none keeps the shorter one."""
    backend = await opener()
    one = rows.execution_id(1)
    batches = [
        evolve(rows.advance(2, 1), promises=(rows.promise(1, 7),)),
        evolve(rows.advance(3, 1), timers=(rows.timer(1),)),
        evolve(rows.advance(4, 1), disarmed=((one, "0"),)),
    ]
    await backend.journal.append(evolve(rows.start(1), timers=(rows.timer(1),)))
    connection = backend._writer._connection
    assert connection is not None
    texts: list[str] = []
    connection.add_query_logger(lambda logged: texts.append(logged.query))
    for batch in batches:
        await backend.journal.append(batch)
    assert texts == [_sql.APPEND_ANY] * 3
    await backend.journal.append(rows.advance(5, 1))
    assert texts[3:] == [_sql.APPEND]
    assert await backend.promises_of(one) == [rows.promise(1, 7)]
    assert await backend.timers_of(one) == []


async def test_a_timer_is_disarmed_by_its_key_among_many(
    opener: Opener, rows: Rows, admin: Any
) -> None:
    """Also where nothing has counted the rows yet."""
    backend = await opener()
    one = rows.execution_id(1)
    await backend.journal.append(evolve(rows.start(1), timers=(rows.timer(1),)))
    await admin.execute(
        "INSERT INTO durable_timers SELECT decode(lpad(to_hex(n), 32, '0'), 'hex'), '0', n "
        "FROM generate_series(1000, 100999) AS n"
    )
    counted = "SELECT seq_scan, idx_scan FROM pg_stat_user_tables WHERE relname = 'durable_timers'"
    flush = "SELECT pg_stat_force_next_flush()"
    await backend._writer.rows(tuple, flush)
    (before,) = await admin.fetch(counted)
    gone = ((one, "0"), *((rows.execution_id(number), "0") for number in range(2, 200)))
    await backend.journal.append(evolve(rows.advance(2, 1), disarmed=gone))
    await backend._writer.rows(tuple, flush)
    await backend.probe()
    (after,) = await admin.fetch(counted)
    assert after[0] == before[0]
    assert after[1] > before[1]
    assert await backend.timers_of(one) == []
