"""What has ended vanishes by age and by the caps, in the background too; what has not stays."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

import pytest

from durable_core import DurableContext, DurableEngine, ExecutionHandle
from durable_core.config import RetentionConfig
from durable_core.contracts import EndedRow
from durable_core.engine.choosing import Reason
from durable_core.errors import (
    ExecutionFailed,
    ExecutionNotFound,
    JournalUnavailable,
    TransientStoreError,
)
from durable_core.model.execution import Status
from tests.engines import AnyWorkflow, OpenEngine
from tests.holding import failing, held
from tests.journals import ManualClock
from tests.programs import Stage, version

pytestmark = pytest.mark.dialects

LONGEST_S = 20.0
AT_ONCE = RetentionConfig(ttl_completed_secs=0, ttl_failed_secs=0)
HOUR = 3600


async def fails(_ctx: DurableContext) -> None:
    raise OSError


async def ended(engine: DurableEngine, *programs: AnyWorkflow) -> list[ExecutionHandle[object]]:
    """An execution of each program, after its end."""
    handles: list[ExecutionHandle[object]] = [await engine.start(program) for program in programs]
    for handle in handles:
        try:
            await handle.result()
        except ExecutionFailed:
            continue
    return handles


def later(engine: DurableEngine, seconds: int) -> None:
    """Let so much time pass for what looks at the engine's clock."""
    now = engine.parts.clock.now_ms()
    object.__setattr__(engine.parts, "clock", ManualClock(now + seconds * 1000))


COMPLETES = version(lambda _ctx: asyncio.sleep(0), "completes")
FAILS = version(fails, "fails")


async def test_terminal_executions_vanish_in_the_background(open_engine: OpenEngine) -> None:
    stage = Stage()
    runs = version(lambda _ctx: stage.pause(), "runs")
    retention = RetentionConfig(ttl_completed_secs=0, ttl_failed_secs=0, prune_interval_secs=1)
    async with open_engine(COMPLETES, FAILS, runs, retention=retention) as engine:
        running = await engine.start(runs)
        await stage.reached.wait()
        gone = await ended(engine, COMPLETES, FAILS)
        with held(engine.parts.backend.journal, "prune", answered=True) as pruned:
            async with asyncio.timeout(LONGEST_S):
                await pruned.reached.wait()
        for handle in gone:
            with pytest.raises(ExecutionNotFound):
                await handle.status()
        assert await running.status() is Status.RUNNING
        stage.gate.set()
        await running.result()


async def test_closing_ends_a_background_run(open_engine: OpenEngine) -> None:
    """What it was about to delete stays, and nothing is left running."""
    tasks = asyncio.all_tasks()
    retention = RetentionConfig(ttl_completed_secs=0, prune_interval_secs=1)
    async with AsyncExitStack() as opened:
        engine = await opened.enter_async_context(open_engine(COMPLETES, retention=retention))
        (handle,) = await ended(engine, COMPLETES)
        with held(engine.parts.backend.journal, "prune") as pruning:
            async with asyncio.timeout(LONGEST_S):
                await pruning.reached.wait()
            await opened.aclose()
            assert asyncio.all_tasks() == tasks
    async with open_engine(COMPLETES) as engine:
        assert await (await engine.get(handle.id)).status() is Status.COMPLETED


async def test_trouble_does_not_end_the_background_runs(open_engine: OpenEngine) -> None:
    retention = RetentionConfig(ttl_completed_secs=0, prune_interval_secs=1)
    async with open_engine(COMPLETES, retention=retention) as engine:
        journal: Any = engine.parts.backend.journal
        await ended(engine, COMPLETES)
        trouble = JournalUnavailable("no disk"), RuntimeError("a defect")
        with (
            failing(journal, "open_usage", *trouble),
            held(journal, "prune", answered=True) as pruned,
        ):
            async with asyncio.timeout(LONGEST_S):
                await pruned.reached.wait()
        assert await engine.list() == []


@pytest.mark.parametrize("lasts", ["completed", "failed"])
async def test_each_kind_of_end_has_its_own_time(lasts: str, open_engine: OpenEngine) -> None:
    minute = 60
    retention = RetentionConfig(
        ttl_completed_secs=HOUR if lasts == "completed" else minute,
        ttl_failed_secs=HOUR if lasts == "failed" else minute,
    )
    async with open_engine(COMPLETES, FAILS, retention=retention) as engine:
        completed, failed = await ended(engine, COMPLETES, FAILS)
        now = engine.parts.clock.now_ms()
        for after, left in [
            (minute // 2, {completed.id, failed.id}),
            (HOUR // 2, {completed.id if lasts == "completed" else failed.id}),
            (HOUR * 2, set()),
        ]:
            object.__setattr__(engine.parts, "clock", ManualClock(now + after * 1000))
            await engine.prune()
            assert {row.execution_id for row in await engine.list()} == {one.bytes for one in left}


async def test_ec_39_a_dry_run_names_what_the_real_run_deletes(open_engine: OpenEngine) -> None:
    """By age and by count; what runs counts, and stays."""
    stage = Stage()
    runs = version(lambda _ctx: stage.pause(), "runs")
    retention = RetentionConfig(ttl_failed_secs=60, max_executions=3)
    async with open_engine(COMPLETES, FAILS, runs, retention=retention) as engine:
        running = await engine.start(runs)
        done = await ended(engine, COMPLETES, FAILS, COMPLETES, COMPLETES, COMPLETES)
        later(engine, 2 * 60)
        before = await engine.list()
        said = await engine.prune(dry_run=True)
        assert await engine.list() == before
        report = await engine.prune()
        assert (said.dry_run, report.dry_run) == (True, False)
        assert said.executions == report.executions
        assert {(one.row.execution_id, one.reason) for one in report.executions} == {
            (done[0].id.bytes, Reason.COUNT),
            (done[1].id.bytes, Reason.FAILED_TTL),
            (done[2].id.bytes, Reason.COUNT),
        }
        left = {row.execution_id for row in await engine.list()}
        assert left == {one.id.bytes for one in (running, *done[3:])}
        assert report.entries == sum(row.entry_count for row in before if row[0] not in left)
        assert (await engine.prune()).executions == ()
        await engine.verify()
        stage.gate.set()
        await running.result()


async def test_ec_39_the_cap_on_bytes_is_enforced(open_engine: OpenEngine) -> None:
    async def large(_ctx: DurableContext) -> bytes:
        return bytes(50_000)

    program = version(large)
    retention = RetentionConfig(max_journal_bytes=120_000)
    async with open_engine(program, retention=retention) as engine:
        for _ in range(5):
            await engine.run(program)
        report = await engine.prune()
        assert [one.reason for one in report.executions] == [Reason.BYTES] * 3
        assert 3 * 50_000 < report.size < 3 * 51_000
        assert len(await engine.list()) == 2
        ended = await engine.parts.backend.journal.ended(None, 9)
        assert 2 * 50_000 < sum(row.payload_bytes for row in ended) < 120_000


async def test_a_child_stays_until_its_parent_has_ended(open_engine: OpenEngine) -> None:
    """The parent can still ask for its result; a child with a key of its own is like any other."""
    stage = Stage()

    async def parent(ctx: DurableContext) -> object:
        child, other = await ctx.start_child(answers), await ctx.start_child(answers, key="own")
        await asyncio.gather(child.result(), other.result())
        await stage.pause()
        return await child.result()

    async def answer(_ctx: DurableContext) -> str:
        return "the child's"

    answers, program = version(answer, "answers"), version(parent)
    async with open_engine(program, answers, retention=AT_ONCE) as engine:
        handle = await engine.start(program)
        await stage.reached.wait()
        later(engine, HOUR)
        said = await engine.prune(dry_run=True)
        assert said.executions == (await engine.prune()).executions
        assert [one.row.execution_key for one in said.executions] == ["own"]
        stage.gate.set()
        assert await handle.result() == "the child's"
        later(engine, HOUR)
        assert len((await engine.prune()).executions) == 2
        assert await engine.list() == []


async def test_batches_are_bounded_by_rows(open_engine: OpenEngine) -> None:
    """One execution that has more than a batch goes whole."""

    async def body(ctx: DurableContext) -> None:
        for _ in range(30):
            await ctx.now()

    few, many = COMPLETES, version(body, "many")
    retention = RetentionConfig(ttl_completed_secs=0, prune_batch_size=10)
    async with open_engine(few, many, retention=retention) as engine:
        for each in (few, few, many, few, few, few, few):
            await engine.run(each)
        later(engine, HOUR)
        journal: Any = engine.parts.backend.journal
        real, batches = journal.prune, []

        async def prune(rows: Sequence[EndedRow]) -> frozenset[bytes]:
            batches.append([row.entries for row in rows])
            return frozenset(await real(rows))

        journal.prune = prune
        report = await engine.prune()
        del journal.prune
        assert batches == [[2, 2], [32], [2, 2, 2], [2]]
        assert report.entries == sum(map(sum, batches))


async def test_several_engines_together_delete_no_more_than_one(open_engine: OpenEngine) -> None:
    retention = RetentionConfig(max_executions=10, prune_batch_size=4)
    async with (
        open_engine(COMPLETES, retention=retention) as engine,
        open_engine(COMPLETES, retention=retention) as other,
    ):
        handles = await ended(engine, *[COMPLETES] * 30)
        reports = await asyncio.gather(*(one.prune() for one in (engine, other, engine, other)))
        gone = [one.row.execution_id for report in reports for one in report.executions]
        assert len(gone) == len(set(gone)) == 20
        assert len(await engine.list()) == 10
        assert len(handles) == 30
        await engine.verify()


async def test_ec_32_what_is_resumed_meanwhile_stays_and_is_not_reported(
    open_engine: OpenEngine,
) -> None:
    failed_once: list[str] = []

    async def body(_ctx: DurableContext) -> str:
        if not failed_once:
            failed_once.append("failed")
            raise OSError
        return "in the end"

    program = version(body)
    async with open_engine(program, FAILS, retention=AT_ONCE) as engine:
        resumed, gone = await ended(engine, program, FAILS)
        later(engine, HOUR)
        with held(engine.parts.backend.journal, "prune") as pruning:
            pruned = asyncio.create_task(engine.prune())
            await pruning.reached.wait()
            assert await (await engine.resume(resumed.id)).result() == "in the end"
        report = await pruned
        assert [one.row.execution_id for one in report.executions] == [gone.id.bytes]
        assert await resumed.result() == "in the end"
        await engine.verify()


async def test_an_answer_that_was_lost_changes_no_report(open_engine: OpenEngine) -> None:
    async with open_engine(COMPLETES, retention=AT_ONCE) as engine:
        handles = await ended(engine, COMPLETES, COMPLETES)
        later(engine, HOUR)
        journal: Any = engine.parts.backend.journal
        real = journal.prune
        lost: list[frozenset[bytes]] = []

        async def prune(rows: Sequence[EndedRow]) -> frozenset[bytes]:
            gone = frozenset(await real(rows))
            if not lost:
                lost.append(gone)
                message = "the answer was lost"
                raise TransientStoreError(message, landed_unknown=True)
            return gone

        journal.prune = prune
        report = await engine.prune()
        del journal.prune
        assert lost == [{one.id.bytes for one in handles}]
        assert {one.row.execution_id for one in report.executions} == lost[0]


async def test_a_run_that_is_cancelled_leaves_whole_executions(open_engine: OpenEngine) -> None:
    retention = RetentionConfig(ttl_completed_secs=0, prune_batch_size=1)
    async with open_engine(COMPLETES, retention=retention) as engine:
        await ended(engine, *[COMPLETES] * 4)
        later(engine, HOUR)
        with held(engine.parts.backend.journal, "prune", skip=1, answered=True) as pruning:
            pruned = asyncio.create_task(engine.prune())
            await pruning.reached.wait()
            pruned.cancel()
            await asyncio.wait({pruned})
        assert len(await engine.list()) == 2
        report = await engine.verify()
        assert report.executions == 2
        assert len((await engine.prune()).executions) == 2
