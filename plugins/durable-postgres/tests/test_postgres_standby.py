"""A hot standby serves who only reads, takes nothing, and takes over when it is promoted."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import asyncpg
import pytest

from durable_core import (
    DurableConfig,
    DurableContext,
    DurableEngine,
    EffectClass,
    EffectIntentSubClass,
    OnAmbiguous,
    step,
    workflow,
)
from durable_core.engine.definition import Workflow
from durable_core.engine.inspection import Check, open_journal
from durable_core.errors import JournalUnavailable
from tests.postgres import Server, temporary_server

KEYS = "1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"


@step(
    effect=EffectClass.EXACTLY_ONCE_GUARDED,
    sub_class=EffectIntentSubClass.MONEY_MOVING,
    on_ambiguous=OnAmbiguous.FAIL,
)
async def charge(number: int) -> int:
    return number + 1


@workflow(name="charging")
async def charging(ctx: DurableContext, number: int) -> int:
    return await ctx.step(charge, await ctx.step(charge, number))


def failing_over(primary: Server, standby: Server, calls: list[str]) -> Workflow[[], int]:
    """A workflow whose second effect is the loss of the server that its intent is on."""

    @step(
        name="lose",
        effect=EffectClass.EXACTLY_ONCE_GUARDED,
        sub_class=EffectIntentSubClass.MONEY_MOVING,
        on_ambiguous=OnAmbiguous.FAIL,
    )
    async def lose() -> int:
        calls.append("lose")
        await asyncio.to_thread(primary.stop)
        await asyncio.to_thread(standby.control, "promote")
        return 1

    @workflow(name="failing-over")
    async def run(ctx: DurableContext) -> int:
        before = await ctx.step(charge, 0)
        lost = await ctx.step(lose)
        return await ctx.step(charge, before + lost)

    return run


@pytest.fixture
def primary() -> Iterator[Server]:
    with temporary_server() as running:
        yield running


async def test_a_standby_shows_and_verifies_and_takes_nothing(primary: Server) -> None:
    async with DurableEngine.open(primary.url(), workflows=[charging], keys=KEYS) as engine:
        assert [await engine.run(charging, number) for number in range(3)] == [2, 3, 4]
        whole = await engine.verify()
    impatient = DurableConfig(journal_ack_timeout_ms=3000)
    with primary.standby() as standby:
        async with open_journal(standby.url(), DurableConfig(), KEYS) as inspector:
            assert await inspector.verify() == whole
            seen = await inspector.executions()
            assert [each.check for each in seen] == [Check.VERIFIED] * 3
        with pytest.raises(JournalUnavailable, match="ReadOnlySQLTransactionError"):
            async with DurableEngine.open(
                standby.url(), workflows=[charging], keys=KEYS, config=impatient
            ) as engine:
                await engine.run(charging, 0)
    assert whole.executions == 3


async def test_an_engine_goes_on_with_the_standby_that_is_promoted(primary: Server) -> None:
    """What the first server has acknowledged is on the second, since its commits wait for it."""
    calls: list[str] = []
    with primary.standby() as standby:
        admin = await asyncpg.connect(primary.url())
        await admin.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        await admin.execute("SELECT pg_reload_conf()")
        async with asyncio.timeout(50):
            while await admin.fetchval("SELECT sync_state FROM pg_stat_replication") != "sync":
                pass  # the server gets there by itself
        await admin.close()
        hosts = f"127.0.0.1:{primary.port},127.0.0.1:{standby.port}"
        url = f"postgres://postgres@{hosts}/postgres?target_session_attrs=read-write"
        program = failing_over(primary, standby, calls)
        async with DurableEngine.open(url, workflows=[program], keys=KEYS) as engine:
            assert await engine.run(program) == 3
            report = await engine.verify()
    assert calls == ["lose"]
    assert (report.executions, report.entries) == (1, 8)
