"""INV-17: loss is never silent: visible to the caller, counted, logged, and told by `flush()`."""

from __future__ import annotations

import logging

import pytest

from durable_core import DurableContext, step
from durable_core.errors import JournalUnavailable
from durable_core.journal import Health, WriterSettings
from tests.engines import OpenEngine
from tests.faults import faulty
from tests.journals import begun, result_of
from tests.programs import version

FULL = JournalUnavailable("the disk is full")


async def test_a_refused_append_is_seen_counted_and_logged(
    url: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings = WriterSettings(queue_capacity=1, flush_interval_ms=60_000)
    async with faulty(url, settings) as (_, journal):
        execution = await begun(journal)
        assert journal.append_buffered(result_of(execution, 0))
        assert not journal.append_buffered(result_of(execution, 1))
        assert journal.health().dropped == 1
        assert [record.levelno for record in caplog.records] == [logging.WARNING]
        await journal.flush()


async def test_a_lost_append_is_counted_logged_shown_by_health_and_told_once(
    url: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with faulty(url) as (backend, journal):
        execution = await begun(journal)
        backend.faults.append(FULL)
        backend.probe_faults.extend([FULL] * 3)
        journal.append_buffered(result_of(execution, 0))
        with pytest.raises(JournalUnavailable, match="1 accepted entries") as raised:
            await journal.flush()
        assert raised.value.__cause__ is FULL
        assert journal.health().failed == 1
        assert journal.health().state is Health.DEGRADED
        assert "was not committed" in caplog.text
        await journal.flush()


async def test_a_context_loses_nothing_to_a_full_queue(open_engine: OpenEngine) -> None:
    """When the buffered queue has no room, the result is appended acknowledged instead."""

    @step
    async def number(value: int) -> int:
        return value

    async def body(ctx: DurableContext) -> int:
        return sum([await ctx.step(number, value) for value in range(50)])

    program = version(body)
    async with open_engine(
        program,
        journal_queue_capacity=1,
        journal_flush_interval_ms=60_000,
    ) as engine:
        handle = await engine.start(program)
        assert await handle.result() == 1225
        rows = await engine.parts.backend.journal.read_execution(handle.id.bytes)
        assert len(rows) == 52
        assert engine.health().failed == 0
