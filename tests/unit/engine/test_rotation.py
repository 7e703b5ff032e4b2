"""A rotation of the master key changes nothing for what runs (EC-24b).

An execution keeps the key it was created under for its fingerprints and stamps; only what is
sealed from now on is sealed by the current key.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from durable_core import DurableContext, EffectClass, OnAmbiguous, current_step, step, workflow
from durable_core.engine.definition import Workflow
from durable_core.errors import AmbiguousEffect, ConfigError
from durable_core.ids import ExecutionId
from durable_core.model.execution import Status
from tests.engines import OpenEngine
from tests.journals import MASTER, OTHER_MASTER, key_text, path_of, query
from tests.programs import Stage

OLD = key_text((1, MASTER))
NEW_FIRST = key_text((2, OTHER_MASTER), (1, MASTER))
NEW_ALONE = key_text((2, OTHER_MASTER))


class Shop:
    """A program that charges twice, and what its effects did outside."""

    def __init__(self) -> None:
        self.stage = Stage()
        self.charged: list[tuple[str, bytes]] = []

        @step(effect=EffectClass.EXACTLY_ONCE_GUARDED, on_ambiguous=OnAmbiguous.RERUN)
        async def charge(what: str) -> str:
            self.charged.append((what, current_step().idempotency_key))
            return f"charged {what}"

        @step
        async def render(what: str) -> str:
            return f"rendered {what}"

        @workflow(name="program")
        async def program(ctx: DurableContext, *, pause: bool = True) -> list[str]:
            done = [await ctx.step(charge, "first"), await ctx.step(render, "first")]
            if pause and not self.stage.gate.is_set():
                await self.stage.pause()
            return [*done, await ctx.step(charge, "second"), await ctx.step(render, "second")]

        self.program: Workflow[..., Any] = program


RESULT = ["charged first", "rendered first", "charged second", "rendered second"]


def sealed_by(url: str, execution_id: ExecutionId) -> list[int]:
    """The key id of each sealed payload of an execution, in order."""
    statement = (
        "SELECT payload FROM durable_journal WHERE execution_id = ? AND payload NOT NULL "
        "ORDER BY entry_no"
    )
    return [blob[1] for (blob,) in query(path_of(url), statement, execution_id.bytes)]


def kept_under(url: str, execution_id: ExecutionId) -> int:
    statement = "SELECT key_id FROM durable_executions WHERE execution_id = ?"
    return int(query(path_of(url), statement, execution_id.bytes)[0][0])


async def started(open_engine: OpenEngine, shop: Shop) -> ExecutionId:
    """An execution under the old key, closed after its first effect."""
    async with open_engine(shop.program, keys=OLD) as engine:
        handle = await engine.start(shop.program, key="order-1")
        await shop.stage.reached.wait()
    shop.stage.gate.set()
    return handle.id


async def test_ec_24b_a_key_rotated_while_an_execution_is_down(
    open_engine: OpenEngine,
    url: str,
) -> None:
    shop = Shop()
    execution_id = await started(open_engine, shop)
    async with open_engine(shop.program, keys=NEW_FIRST) as engine:
        assert await (await engine.get(execution_id)).result() == RESULT
        await engine.verify()
        again = await engine.start(shop.program, key="order-1")
        assert again.id == execution_id, "equal arguments under the old key are still equal"
    assert [what for what, _ in shop.charged] == ["first", "second"]
    assert kept_under(url, execution_id) == 1
    assert sealed_by(url, execution_id) == [1, 1, 1, 2, 2, 2]


async def test_ec_24b_a_key_rotated_by_one_engine_while_another_runs_an_execution(
    open_engine: OpenEngine,
    url: str,
) -> None:
    shop = Shop()
    async with open_engine(shop.program, keys=OLD) as old:
        running = await old.start(shop.program, key="order-1")
        await shop.stage.reached.wait()
        async with open_engine(shop.program, keys=NEW_FIRST) as new:
            beside = await new.start(shop.program, key="order-2", pause=False)
            assert await beside.result() == RESULT
            shop.stage.gate.set()
            assert await running.result() == RESULT
            assert await (await new.get(running.id)).result() == RESULT
            await new.verify()
    assert sealed_by(url, running.id) == [1] * 6
    assert sealed_by(url, beside.id) == [2] * 6
    assert (kept_under(url, running.id), kept_under(url, beside.id)) == (1, 2)
    assert sorted(what for what, _ in shop.charged) == ["first", "first", "second", "second"]


async def test_ec_24b_a_rotation_between_the_runs_of_one_execution_keeps_its_idempotency_keys(
    open_engine: OpenEngine,
) -> None:
    """The outside system sees the key that it saw before, so it does not charge again."""
    shop = Shop()

    @step(effect=EffectClass.EXACTLY_ONCE_GUARDED, on_ambiguous=OnAmbiguous.RERUN)
    async def charge() -> str:
        shop.charged.append(("it", current_step().idempotency_key))
        if len(shop.charged) == 1:
            await shop.stage.pause()
        return "charged"

    @workflow(name="program")
    async def program(ctx: DurableContext) -> str:
        return await ctx.step(charge)

    async with open_engine(program, keys=OLD, close_timeout_ms=1) as engine:
        handle = await engine.start(program)
        await shop.stage.reached.wait()
    async with open_engine(program, keys=NEW_FIRST) as engine:
        assert await (await engine.get(handle.id)).result() == "charged"
    first, second = shop.charged
    assert first == second


async def test_ec_24b_a_fresh_run_under_a_new_key_recognises_committed_effects(
    open_engine: OpenEngine,
    url: str,
) -> None:
    shop = Shop()

    @workflow(name="program")
    async def moved(ctx: DurableContext, *, pause: bool = True) -> list[str]:
        """A new version: another step stands in front, so that every position differs."""
        shop.stage.calls.append("moved")

        async def fresh() -> bool:
            return pause

        await ctx.step(fresh)
        results: list[str] = await shop.program.fn(ctx, pause=False)
        return results

    execution_id = await started(open_engine, shop)
    async with open_engine(moved, keys=NEW_FIRST, on_divergence="restart") as engine:
        assert await (await engine.get(execution_id)).result() == RESULT
        await engine.verify()
    assert [what for what, _ in shop.charged] == ["first", "second"], "not charged again"
    assert kept_under(url, execution_id) == 1


async def test_ec_24b_an_engine_that_does_not_know_the_new_key_says_which(
    open_engine: OpenEngine,
) -> None:
    shop = Shop()
    execution_id = await started(open_engine, shop)
    async with open_engine(shop.program, keys=NEW_FIRST) as engine:
        await (await engine.get(execution_id)).result()
    async with open_engine(shop.program, keys=OLD) as engine:
        handle = await engine.get(execution_id)
        with pytest.raises(ConfigError, match="key id 2 is needed"):
            await handle.result()


async def test_ec_24b_a_key_taken_away_too_early_is_named_and_harms_nothing(
    open_engine: OpenEngine,
    caplog: pytest.LogCaptureFixture,
) -> None:
    shop = Shop()
    execution_id = await started(open_engine, shop)
    async with open_engine(shop.program, keys=NEW_ALONE) as engine:
        handle = await engine.get(execution_id)
        assert await handle.status() is Status.RUNNING
        with pytest.raises(ConfigError, match="key id 1 is needed"):
            await handle.result()
    assert "executions under key id 1 wait for an engine with that key" in caplog.text
    assert len(shop.charged) == 1
    async with open_engine(shop.program, keys=NEW_FIRST) as engine:
        assert await (await engine.get(execution_id)).result() == RESULT


async def test_ec_24b_an_operators_word_filed_under_the_new_key_settles_an_old_execution(
    open_engine: OpenEngine,
) -> None:
    shop = Shop()

    @step(effect=EffectClass.EXACTLY_ONCE_GUARDED, on_ambiguous=OnAmbiguous.FAIL)
    async def charge() -> str:
        await shop.stage.pause()
        return "charged"

    @workflow(name="program")
    async def program(ctx: DurableContext) -> str:
        return await ctx.step(charge)

    async with open_engine(program, keys=OLD, close_timeout_ms=1) as engine:
        handle = await engine.start(program)
        await shop.stage.reached.wait()
    async with open_engine(program, keys=NEW_FIRST) as engine:
        blocked = await engine.get(handle.id)
        with pytest.raises(Exception, match="settle"):
            await blocked.result()
        await engine.settle(handle.id, "0", ran=True, value="charged by hand")
        assert await blocked.result() == "charged by hand"
        await engine.verify()


class Heard(logging.Handler):
    """Sets an event when `text` is logged."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.event = asyncio.Event()
        self._text = text

    def emit(self, record: logging.LogRecord) -> None:
        if self._text in record.getMessage():
            self.event.set()


async def test_a_request_under_a_key_that_the_owner_lacks_waits_for_the_next_one(
    open_engine: OpenEngine,
    url: str,
) -> None:
    """An operator's word is not thrown away because one engine cannot read it."""
    forever = asyncio.Event()

    @step(
        effect=EffectClass.EXACTLY_ONCE_GUARDED,
        on_ambiguous=OnAmbiguous.FAIL,
        timeout=0.001,
    )
    async def charge() -> str:
        await forever.wait()
        return "charged"

    @workflow(name="program")
    async def program(ctx: DurableContext) -> str:
        return await ctx.step(charge)

    heard = Heard("a request waits for an engine with its key")
    logger = logging.getLogger("durable_core")
    logger.addHandler(heard)
    try:
        async with open_engine(program, keys=OLD) as owner:
            handle = await owner.start(program)
            with pytest.raises(AmbiguousEffect):
                await handle.result()
            async with open_engine(keys=NEW_FIRST, recover=False) as operator:
                await operator.settle(handle.id, "0", ran=True, value="by hand")
            await asyncio.wait_for(heard.event.wait(), 30)
        assert query(path_of(url), "SELECT slot FROM durable_inbox") == [("settle:0",)]
        async with open_engine(program, keys=NEW_FIRST) as engine, asyncio.timeout(30):
            taken_up = await engine.get(handle.id)
            while await taken_up.status() is Status.BLOCKED:
                pass
            assert await taken_up.result() == "by hand"
    finally:
        logger.removeHandler(heard)
