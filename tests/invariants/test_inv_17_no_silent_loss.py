"""INV-17: loss is never silent: visible to the caller, counted, logged, and told by `flush()`."""

from __future__ import annotations

import asyncio
import logging

import pytest

from durable_core import DurableContext, step
from durable_core.conformance.faults import Stall
from durable_core.errors import ExecutionFenced, JournalUnavailable
from durable_core.journal import Health, WriterSettings
from tests.engines import OpenEngine
from tests.faults import faulty
from tests.journals import begun, result_of
from tests.programs import version

pytestmark = pytest.mark.dialects

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


async def test_each_burst_of_refusals_is_logged_when_it_begins(
    url: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A burst is over when an append is accepted again."""
    settings = WriterSettings(queue_capacity=1, flush_interval_ms=60_000)
    async with faulty(url, settings) as (_, journal):
        execution = await begun(journal)
        for burst in range(3):
            assert journal.append_buffered(result_of(execution, burst))
            for _ in range(1001 if burst == 2 else 10):
                assert not journal.append_buffered(result_of(execution, burst + 1))
            await journal.flush()
        told = [record.getMessage() for record in caplog.records]
        begins = "the journal refuses buffered appends"
        assert told == [
            f"{begins}, 1 so far: its queue is full",
            f"{begins}, 11 so far: its queue is full",
            f"{begins}, 21 so far: its queue is full",
            f"{begins}, 1021 so far: its queue is full",
        ]
        assert journal.health().dropped == 1021


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


async def test_closing_tells_of_a_lost_append_that_nobody_was_told_of(url: str) -> None:
    async with faulty(url) as (backend, journal):
        execution = await begun(journal)
        backend.faults.append(FULL)
        journal.append_buffered(result_of(execution, 0))
        with pytest.raises(JournalUnavailable, match="full"):
            await journal.append_acked(result_of(execution, 1))
        with pytest.raises(JournalUnavailable, match="1 accepted entries") as raised:
            await journal.close()
        assert raised.value.__cause__ is FULL
        assert journal.health().failed == 2


async def test_closing_tells_of_an_append_whose_caller_was_cancelled(url: str) -> None:
    async with faulty(url) as (backend, journal):
        execution = await begun(journal)
        stall = Stall()
        backend.faults.append(stall)
        held = asyncio.create_task(journal.append_acked(result_of(execution, 0)))
        await stall.reached.wait()
        cancelled = asyncio.create_task(journal.append_acked(result_of(execution, 1)))
        await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.wait({cancelled})
        backend.faults.append(FULL)
        stall.gate.set()
        await held
        with pytest.raises(JournalUnavailable, match="1 accepted entries"):
            await journal.close()


@pytest.mark.parametrize("flushes", [False, True])
async def test_closing_says_nothing_of_an_execution_that_another_owner_took_over(
    url: str,
    caplog: pytest.LogCaptureFixture,
    *,
    flushes: bool,
) -> None:
    """Its caller was told, and its new owner writes it; `flush` and the counts stay literal."""
    async with faulty(url) as (backend, journal):
        execution = await begun(journal)
        row = await backend.real.load(execution.bytes)
        assert row is not None
        assert await backend.real.claim(row, "owner-b", 0) is not None
        journal.append_buffered(result_of(execution, 0))
        with pytest.raises(ExecutionFenced):
            await journal.append_acked(result_of(execution, 1))
        if flushes:
            with pytest.raises(JournalUnavailable, match="2 accepted entries"):
                await journal.flush()
        await journal.close()
        assert journal.health().failed == 2
        assert caplog.text.count("was not committed: ExecutionFenced") == 2


async def test_closing_does_not_repeat_what_a_flush_has_told(url: str) -> None:
    async with faulty(url) as (backend, journal):
        execution = await begun(journal)
        backend.faults.append(FULL)
        journal.append_buffered(result_of(execution, 0))
        with pytest.raises(JournalUnavailable):
            await journal.flush()
        await journal.close()
        assert journal.health().failed == 1


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
