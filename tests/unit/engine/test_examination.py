"""What an operator is told of one execution, with the key and without it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from durable_core import (
    DurableConfig,
    DurableContext,
    DurableEngine,
    DurablePromise,
    EffectClass,
    ExecutionHandle,
    OnAmbiguous,
    RetryPolicy,
    step,
)
from durable_core.engine.examination import Examined, OwnerState, examine
from durable_core.engine.inspection import Check, RevealedPayload, open_journal
from durable_core.engine.requests import file_cancel
from durable_core.errors import AmbiguousEffect, ConfigError, ExecutionFailed, StepFailed
from durable_core.ids import ExecutionId
from durable_core.model.entries import EntryKind
from tests.engines import AnyWorkflow, OpenEngine
from tests.programs import Stage, version

CANARY = "canary-52d1"
TWICE = RetryPolicy(attempts=2, initial=0.001)


@step(name="flaky", retry=TWICE)
async def flaky() -> str:
    raise LookupError(CANARY)


async def failing(ctx: DurableContext) -> str:
    try:
        return await ctx.step(flaky)
    except StepFailed:
        raise ValueError(CANARY) from None


async def seen_by_a_tool(
    url: str, key: str | None, execution_id: ExecutionId, *, reveal: bool = False
) -> Examined:
    async with open_journal(url, DurableConfig(), key, key_optional=not reveal) as journal:
        return await examine(journal, await journal.execution(execution_id), reveal=reveal)


@pytest.fixture
async def failed(open_engine: OpenEngine) -> ExecutionHandle[Any]:
    program = version(failing)
    async with open_engine(program) as engine:
        handle = await engine.start(program, key="k")
        with pytest.raises(ExecutionFailed):
            await handle.result()
        return handle


async def test_a_failure_is_told_by_type_and_attempts(
    failed: ExecutionHandle[Any], url: str, key: str
) -> None:
    found = await seen_by_a_tool(url, key, failed.id)
    assert (found.seen.check, found.owner) == (Check.VERIFIED, OwnerState.GONE)
    assert [(count.kind, count.entries) for count in found.kinds] == [
        (EntryKind.EXECUTION_STARTED, 1),
        (EntryKind.STEP_FAILED, 1),
        (EntryKind.EXECUTION_FINISHED, 1),
    ]
    assert found.payload_bytes > found.longest_payload > 0
    (step_failed,) = found.failed_steps
    assert (step_failed.name, step_failed.error_type, step_failed.attempts) == (
        "flaky",
        "LookupError",
        2,
    )
    assert found.ending is not None
    assert (found.ending.error_type, found.ending.payload) == ("ValueError", None)
    assert step_failed.message is None
    assert CANARY not in repr(found)


async def test_messages_are_told_when_they_are_revealed(
    failed: ExecutionHandle[Any], url: str, key: str
) -> None:
    found = await seen_by_a_tool(url, key, failed.id, reveal=True)
    assert found.failed_steps[0].message == CANARY
    assert found.ending is not None
    assert isinstance(found.ending.payload, RevealedPayload)
    assert found.ending.payload.meaning == "error"
    assert CANARY in str(found.ending.payload.value)
    assert CANARY not in repr(found.failed_steps) + repr(found.ending)


async def test_without_the_key_nothing_is_opened(
    failed: ExecutionHandle[Any], url: str, key: str
) -> None:
    found = await seen_by_a_tool(url, None, failed.id)
    assert found.seen.check is Check.NO_KEY
    with_key = await seen_by_a_tool(url, key, failed.id)
    assert (found.kinds, found.payload_bytes) == (with_key.kinds, with_key.payload_bytes)
    assert [(one.name, one.error_type, one.attempts) for one in found.failed_steps] == [
        ("flaky", None, None)
    ]
    assert found.ending is not None
    assert found.ending.error_type is None
    with pytest.raises(ConfigError, match="DURABLE_KEY"):
        await seen_by_a_tool(url, None, failed.id, reveal=True)


@pytest.mark.parametrize("segment", [1, 100])
async def test_without_the_key_long_ones_are_read_in_segments(
    failed: ExecutionHandle[Any], url: str, segment: int
) -> None:
    config = DurableConfig(replay_segment=segment)
    async with open_journal(url, config, key_optional=True) as journal:
        found = await examine(journal, await journal.execution(failed.id))
        assert sum(count.entries for count in found.kinds) == 3


async def test_failures_of_earlier_generations_are_told_and_their_ends_are_not(
    failed: ExecutionHandle[Any], open_engine: OpenEngine, url: str, key: str
) -> None:
    async with open_engine(recover=False) as tool:
        await tool.resume(failed.id, run="anywhere")
    found = await seen_by_a_tool(url, key, failed.id)
    assert (found.owner, found.ending) == (OwnerState.GIVEN_UP, None)
    assert [one.row.generation for one in found.failed_steps] == [0]


@pytest.fixture
async def stage() -> Stage:
    return Stage()


@pytest.fixture
async def paying(stage: Stage) -> AnyWorkflow:
    @step(name="pay", effect=EffectClass.EXACTLY_ONCE_GUARDED, on_ambiguous=OnAmbiguous.FAIL)
    async def pay() -> str:
        await stage.pause()
        return "paid"

    async def body(ctx: DurableContext) -> str:
        return await ctx.step(pay)

    return version(body)


@pytest.fixture
async def owner(open_engine: OpenEngine, paying: AnyWorkflow) -> AsyncIterator[DurableEngine]:
    async with open_engine(paying, close_timeout_ms=1) as engine:
        yield engine


async def test_intents_and_requests_of_a_live_owner(
    owner: DurableEngine, paying: AnyWorkflow, stage: Stage, url: str, key: str
) -> None:
    handle = await owner.start(paying)
    await stage.reached.wait()
    found = await seen_by_a_tool(url, key, handle.id)
    assert (found.owner, found.ending, found.requests) == (OwnerState.LIVES, None, [])
    assert [(intent.row.step_id, intent.name) for intent in found.open_intents] == [("0", "pay")]


async def test_an_intent_that_waits_for_a_word(
    paying: AnyWorkflow, stage: Stage, open_engine: OpenEngine, url: str, key: str
) -> None:
    async with open_engine(paying, close_timeout_ms=1) as engine:
        handle = await engine.start(paying)
        await stage.reached.wait()
    async with open_engine(paying) as engine:
        with pytest.raises(AmbiguousEffect):
            await (await engine.get(handle.id)).result()
        found = await seen_by_a_tool(url, key, handle.id)
        assert (found.seen.row.status, found.owner) == ("blocked", OwnerState.LIVES)
        await engine.settle(handle.id, "0", ran=True, value="paid before")
        await (await engine.get(handle.id)).result()
        assert (await seen_by_a_tool(url, key, handle.id)).open_intents == []


async def test_requests_that_wait(
    failed: ExecutionHandle[Any], open_engine: OpenEngine, url: str, key: str
) -> None:
    """Those of this execution alone; an engine without `recover` leaves a dead owner's alone."""
    program = version(failing)
    async with open_engine(program, recover=False) as engine:
        other = await engine.start(program, key="other")
        with pytest.raises(ExecutionFailed):
            await other.result()
    async with open_engine(recover=False) as tool:
        for each in (failed, other):
            row = await tool.parts.backend.load(each.id.bytes)
            assert row is not None
            await file_cancel(tool.parts, row)
    found = await seen_by_a_tool(url, key, failed.id)
    assert [(one.execution_id, one.kind) for one in found.requests] == [(failed.id.bytes, "cancel")]


async def test_what_waits_for_a_worker(open_engine: OpenEngine, url: str, key: str) -> None:
    program = version(failing)
    async with open_engine() as engine:
        handle = await engine.start(program, run="anywhere")
    found = await seen_by_a_tool(url, key, handle.id)
    assert found.owner is OwnerState.ANYONE


async def test_timers_that_are_armed(open_engine: OpenEngine, url: str, key: str) -> None:
    async def body(ctx: DurableContext) -> None:
        await ctx.sleep(86_400)

    program = version(body)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        while not (found := await seen_by_a_tool(url, None, handle.id)).timers:
            pass
        assert found.timers[0].due_at > found.seen.row.created_at
        assert (await seen_by_a_tool(url, key, handle.id)).timers == found.timers
        await engine.cancel(handle.id)
        assert (await seen_by_a_tool(url, key, handle.id)).timers == []


async def test_promises_that_nobody_has_resolved(
    open_engine: OpenEngine, url: str, key: str
) -> None:
    made: asyncio.Queue[DurablePromise[str]] = asyncio.Queue()

    async def body(ctx: DurableContext) -> None:
        first, second = [await ctx.promise(str, name=name) for name in ("first", "second")]
        made.put_nowait(first)
        await ctx.await_promise(first)
        await ctx.await_promise(second)

    program = version(body)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        first = await made.get()
        found = await seen_by_a_tool(url, key, handle.id)
        assert sorted(one.name for one in found.promises) == ["first", "second"]
        await engine.resolve(first.id, first.token, "yes")
        while len((found := await seen_by_a_tool(url, None, handle.id)).promises) > 1:
            pass
        assert [one.name for one in found.promises] == ["second"]
        async with open_journal(url, DurableConfig(), key) as journal:
            shown = await journal.entries(await journal.execution(handle.id), reveal=True)
        assert RevealedPayload("value", "yes") in [entry.payload for entry in shown]
        await engine.cancel(handle.id)
        assert (await seen_by_a_tool(url, key, handle.id)).promises == []
