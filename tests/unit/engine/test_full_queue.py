"""A step whose result finds no room in the queue: it waits for its commit, whatever cancels it."""

from __future__ import annotations

import asyncio

import pytest

from durable_core import DurableContext, step
from durable_core.model.entries import EntryKind
from tests.engines import OpenEngine
from tests.holding import held, turns
from tests.programs import Stage, version
from tests.unit.engine.placing import rows_of

pytestmark = pytest.mark.dialects


@step
async def note(text: str) -> str:
    return text


async def test_a_result_that_waits_for_its_commit_outlasts_a_time_limit(
    open_engine: OpenEngine,
) -> None:
    scopes: list[asyncio.Timeout] = []
    stage = Stage()

    async def body(ctx: DurableContext) -> str:
        seen = ""
        await stage.pause()
        await ctx.step(note, "fills the queue")
        try:
            async with asyncio.timeout(None) as scope:
                scopes.append(scope)
                seen = await ctx.step(note, "waited")
                stage.calls.append(seen)
                await asyncio.Event().wait()
        except TimeoutError:
            return f"{seen}, and was reached behind it"
        return seen

    program = version(body)
    async with open_engine(
        program, journal_queue_capacity=1, journal_flush_interval_ms=60_000
    ) as engine:
        handle = await engine.start(program)
        await stage.reached.wait()
        with held(engine.parts.backend.journal, "append") as commit:
            stage.gate.set()
            await commit.reached.wait()
            scopes[0].reschedule(asyncio.get_running_loop().time())
            while not scopes[0].expired():  # noqa: ASYNC110 - nobody says when it has
                await asyncio.sleep(0)
            await turns(50)
            assert not stage.calls
            commit.gate.set()
        assert await handle.result() == "waited, and was reached behind it"
        kinds = [row.entry_kind for row in await rows_of(engine, handle.id)]
        assert kinds.count(EntryKind.STEP_RESULT) == 2
        assert engine.health().failed == 0
