"""A store that is slow, locked or full for a while: nothing hangs, nothing is forgotten."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import AsyncExitStack, closing, contextmanager

import pytest

from durable_core import DurableContext, step
from durable_core.errors import CommitOutcomeUnknown, JournalUnavailable
from durable_core.journal import Health
from durable_core.model.execution import Status
from tests.engines import OpenEngine
from tests.holding import failing, held, logged
from tests.journals import path_of
from tests.passing import Passing
from tests.programs import Stage, version
from tests.unit.engine.processes import child

LONGEST_S = 20.0
LONG_S = 600
FULL = JournalUnavailable("the disk is full")


@step(name="echo")
async def echo(value: str) -> str:
    return value


async def test_a_start_whose_caller_is_cancelled_runs_all_the_same(open_engine: OpenEngine) -> None:
    """The start is on its way, and is not withdrawn; nobody asks for the execution."""
    stage = Stage()
    program = version(lambda _ctx: stage.pause())
    async with open_engine(program) as engine:
        with held(engine.parts.backend.journal, "append") as commit:
            starting = asyncio.create_task(engine.start(program, key="k"))
            await commit.reached.wait()
            starting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await starting
        async with asyncio.timeout(LONGEST_S):
            await stage.reached.wait()
        stage.gate.set()
        await (await engine.get((program, "k"))).result()


@pytest.mark.parametrize("call", ["start", "run"])
async def test_ec_02_a_start_in_a_store_that_hangs_is_answered(
    call: str, open_engine: OpenEngine, passing: Passing
) -> None:
    """By the acknowledgement's time limit; when the store goes on, so does the execution."""
    stage = Stage()
    program = version(lambda _ctx: stage.pause())
    async with open_engine(program, journal_ack_timeout_ms=LONG_S * 1000) as engine:
        with held(engine.parts.backend.journal, "append") as commit:
            ask = engine.start if call == "start" else engine.run
            asking = asyncio.create_task(ask(program, key="k"))
            await commit.reached.wait()
            passing(LONG_S)
            with pytest.raises(CommitOutcomeUnknown, match="may still be committed"):
                await asking
        async with asyncio.timeout(LONGEST_S):
            await stage.reached.wait()
        stage.gate.set()
        await (await engine.get((program, "k"))).result()


async def test_a_result_that_is_given_up_during_a_slow_claim(open_engine: OpenEngine) -> None:
    """The claim lands, and what was claimed is run: others who wait do not wait in vain."""
    stage = Stage()

    async def body(ctx: DurableContext) -> str:
        if not stage.gate.is_set():
            await stage.pause()
        return await ctx.step(echo, "done")

    program = version(body)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        await stage.reached.wait()
    stage.gate.set()
    async with open_engine(program, recover=False) as engine:
        handle = await engine.get(handle.id)
        with held(engine.parts.backend, "claim", answered=True) as claim:
            waiting = asyncio.create_task(handle.result())
            await claim.reached.wait()
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        async with open_engine(program, recover=False) as other:
            assert await (await other.get(handle.id)).result(LONGEST_S) == "done"


async def test_after_a_full_disk_an_execution_goes_on_by_itself(open_engine: OpenEngine) -> None:
    stage = Stage()

    async def body(ctx: DurableContext) -> str:
        stage.calls.append("run")
        if len(stage.calls) == 1:
            await stage.pause()
        value = await ctx.step(echo, "done")
        if len(stage.calls) > 1:
            stage.reached.set()
        return value

    program = version(body)
    async with open_engine(program) as engine:
        backend = engine.parts.backend
        handle = await engine.start(program)
        await stage.reached.wait()
        stage.reached.clear()
        with failing(backend.journal, "append", FULL), failing(backend, "probe", *[FULL] * 100):
            stage.gate.set()
            with pytest.raises(JournalUnavailable, match="the disk is full"):
                await handle.result(LONGEST_S)
            assert engine.health().state is Health.DEGRADED
            with pytest.raises(JournalUnavailable, match="the disk is full"):
                await handle.result(LONGEST_S)  # as long as the cause lasts
        async with asyncio.timeout(LONGEST_S):
            await stage.reached.wait()
        assert await handle.result(LONGEST_S) == "done"
        assert engine.health().state is Health.HEALTHY
        with pytest.raises(JournalUnavailable, match="not committed"):
            await engine.flush()


@contextmanager
def locked(url: str) -> Iterator[None]:
    """Another connection holds the database against everybody who wants to write."""
    with closing(sqlite3.connect(path_of(url), isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


async def test_ec_09_an_orphan_is_recovered_after_the_database_was_locked(
    open_engine: OpenEngine, url: str
) -> None:
    stage = Stage()

    async def body(ctx: DurableContext) -> str:
        await stage.pause()
        return await ctx.step(echo, "done")

    program = version(body)
    async with open_engine(program) as engine:
        async with AsyncExitStack() as life:
            first = await life.enter_async_context(open_engine(program))
            handle = await first.start(program)
            await stage.reached.wait()
            stage.reached.clear()
            with locked(url), logged("durable_core.engine", "is recovered later") as met:
                await life.aclose()
                async with asyncio.timeout(LONGEST_S):
                    await met.wait()
        async with asyncio.timeout(LONGEST_S):
            await stage.reached.wait()
        stage.gate.set()
        assert await (await engine.get(handle.id)).result(LONGEST_S) == "done"


async def test_ec_09_a_locked_database_degrades_and_recovers(
    open_engine: OpenEngine, url: str, passing: Passing
) -> None:
    program = version(lambda ctx: ctx.step(echo, "done"))
    async with open_engine(program, journal_ack_timeout_ms=LONG_S * 1000) as engine:
        assert await engine.run(program) == "done"
        with (
            logged("durable_core.journal", "is asked again") as asked_again,
            logged("durable_core.journal", "the journal is degraded") as degraded,
            logged("durable_core.journal", "the journal commits again") as again,
        ):
            with locked(url):
                running = asyncio.create_task(engine.run(program, key="k"))
                await asked_again.wait()
                passing(LONG_S)
                with pytest.raises(JournalUnavailable):
                    await running
                await degraded.wait()
                health = engine.health()
                assert health.state is Health.DEGRADED
                assert "another connection holds" in str(health.cause)
                with pytest.raises(JournalUnavailable, match="takes no appends"):
                    await engine.run(program)
            await again.wait()
        assert engine.health().state is Health.HEALTHY
        assert await engine.run(program, key="k") == "done"
        with pytest.raises(JournalUnavailable, match="another connection holds"):
            await engine.flush()


async def test_ec_09_a_full_disk_degrades_and_recovers(open_engine: OpenEngine, url: str) -> None:
    """A real one, in a process of its own; what it stopped goes on by itself."""
    async with child("fill", url) as full, open_engine() as engine:
        assert await full.says("through") == "1"
        failed = await full.says("failed")
        assert failed.startswith("JournalUnavailable")
        assert "free" in failed
        assert await full.says("refunds") == "0"
        assert "DEGRADED" in await full.says("health")
        handle = await engine.get(("filler", "large"))
        assert await handle.status() is Status.RUNNING
        full.hear()
        assert await full.says("through") == "6"
        assert await handle.result(LONGEST_S) == 1_200_000
        await engine.verify()
