"""What has ended vanishes after its time, in the background too; what has not stays."""

from __future__ import annotations

import asyncio

import pytest

from durable_core import DurableContext, DurableEngine, ExecutionHandle
from durable_core.config import RetentionConfig
from durable_core.errors import ExecutionFailed, ExecutionNotFound
from durable_core.model.execution import Status
from tests.engines import AnyWorkflow, OpenEngine
from tests.holding import held
from tests.journals import ManualClock
from tests.programs import Stage, version

LONGEST_S = 20.0


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


async def test_terminal_executions_vanish_in_the_background(open_engine: OpenEngine) -> None:
    stage = Stage()
    completes, failing = (
        version(lambda _ctx: asyncio.sleep(0), "completes"),
        version(fails, "fails"),
    )
    runs = version(lambda _ctx: stage.pause(), "runs")
    retention = RetentionConfig(ttl_completed_secs=0, ttl_failed_secs=0, prune_interval_secs=1)
    async with open_engine(completes, failing, runs, retention=retention) as engine:
        running = await engine.start(runs)
        await stage.reached.wait()
        gone = await ended(engine, completes, failing)
        with held(engine.parts.backend.journal, "prune", answered=True) as pruned:
            async with asyncio.timeout(LONGEST_S):
                await pruned.reached.wait()
        for handle in gone:
            with pytest.raises(ExecutionNotFound):
                await handle.status()
        assert await running.status() is Status.RUNNING
        stage.gate.set()
        await running.result()


@pytest.mark.parametrize("lasts", ["completed", "failed"])
async def test_each_kind_of_end_has_its_own_time(lasts: str, open_engine: OpenEngine) -> None:
    completes, failing = (
        version(lambda _ctx: asyncio.sleep(0), "completes"),
        version(fails, "fails"),
    )
    hour, minute = 3600, 60
    retention = RetentionConfig(
        ttl_completed_secs=hour if lasts == "completed" else minute,
        ttl_failed_secs=hour if lasts == "failed" else minute,
    )
    async with open_engine(completes, failing, retention=retention) as engine:
        completed, failed = await ended(engine, completes, failing)
        now = engine.parts.clock.now_ms()
        for after, left in [
            (minute // 2, {completed.id, failed.id}),
            (hour // 2, {completed.id if lasts == "completed" else failed.id}),
            (hour * 2, set()),
        ]:
            object.__setattr__(engine.parts, "clock", ManualClock(now + after * 1000))
            await engine.prune()
            assert {row.execution_id for row in await engine.list()} == {one.bytes for one in left}
