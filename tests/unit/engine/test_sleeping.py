"""`ctx.sleep` and `ctx.sleep_until`: the stored due time counts (EC-37)."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone

import pytest

from durable_core import DurableContext, step
from durable_core.clock import SystemClock
from durable_core.engine.timers import Timers
from durable_core.errors import ConfigError, ReplayDivergence
from durable_core.model.entries import EntryKind, JournalRow
from durable_core.wire.waits import LATEST_MS, Timer
from tests.engines import OpenEngine
from tests.journals import ManualClock
from tests.programs import Stage, version
from tests.unit.engine.replaying import live_and_replayed

pytestmark = pytest.mark.dialects

HOUR = 3600.0
LONGEST_S = 50.0


@step(name="note")
async def note(what: str) -> str:
    return what


async def entries(engine: object, handle: object) -> list[JournalRow]:
    journal = engine.parts.backend.journal  # type: ignore[attr-defined]
    rows: list[JournalRow] = await journal.read_execution(handle.id.bytes)  # type: ignore[attr-defined]
    return rows


async def test_a_sleep_is_armed_and_fires(open_engine: OpenEngine) -> None:
    async def body(ctx: DurableContext) -> str:
        await ctx.step(note, "a")
        await ctx.sleep(0.01)
        return await ctx.step(note, "b")

    program = version(body)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        assert await handle.result() == "b"
        rows = await entries(engine, handle)
        await engine.verify()
    assert [(row.step_id, row.entry_kind) for row in rows[1:-1]] == [
        ("0", EntryKind.STEP_RESULT),
        ("1", EntryKind.TIMER_ARMED),
        ("1", EntryKind.TIMER_FIRED),
        ("2", EntryKind.STEP_RESULT),
    ]
    assert all(row.payload is None for row in rows[2:4])


async def test_live_and_replayed_it_is_over_once(
    open_engine: OpenEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[int] = []
    at = Timers.at

    def noted(timers: Timers, due_ms: int) -> asyncio.Future[None]:
        waited.append(due_ms)
        return at(timers, due_ms)

    monkeypatch.setattr(Timers, "at", noted)

    async def body(ctx: DurableContext) -> int:
        await ctx.sleep(timedelta(seconds=0.4))
        return SystemClock().now_ms()

    live, _ = await live_and_replayed(open_engine, body)
    assert len(waited) == 1, "a replay waits for nothing"
    assert isinstance(live, int)
    assert waited[0] <= live


async def test_ec_37_the_stored_due_time_counts(
    open_engine: OpenEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program asks for a day by now; armed was an hour, which passed while it was down."""
    clock = ManualClock()
    monkeypatch.setattr("durable_core.engine.compose.SystemClock", lambda: clock)
    stage = Stage()

    async def short(ctx: DurableContext) -> str:
        asleep = asyncio.create_task(ctx.sleep(HOUR))
        await asyncio.sleep(0)
        await ctx.step(note, "armed")
        await stage.pause()
        await asleep
        return "woken"

    async def long(ctx: DurableContext) -> str:
        asleep = asyncio.create_task(ctx.sleep(24 * HOUR))
        await asyncio.sleep(0)
        await ctx.step(note, "armed")
        await asleep
        return "woken"

    first, second = version(short), version(long)
    async with open_engine(first) as engine:
        handle = await engine.start(first)
        await stage.reached.wait()
        await engine.flush()
        before = [row for row in await entries(engine, handle) if row.step_id == "0"]
    clock.ms = Timer.decode(before[0].detail).due_at
    async with open_engine(second) as engine:
        assert await (await engine.get(handle.id)).result(LONGEST_S) == "woken"
        after = [row for row in await entries(engine, handle) if row.step_id == "0"]
    assert [row.entry_kind for row in before] == [EntryKind.TIMER_ARMED]
    assert after[: len(before)] == before
    assert [row.entry_kind for row in after[1:]] == [EntryKind.TIMER_FIRED]


async def test_a_point_in_time(open_engine: OpenEngine) -> None:
    due: list[int] = []

    async def body(ctx: DurableContext) -> None:
        when = await ctx.now() + timedelta(milliseconds=20)
        due.append(round(when.timestamp() * 1000))
        await ctx.sleep_until(when)
        await ctx.sleep_until(when)  # has passed by now, and so is over at once

    program = version(body)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        await handle.result()
        rows = await entries(engine, handle)
    armed = [row for row in rows if row.entry_kind == EntryKind.TIMER_ARMED]
    assert [Timer.decode(row.detail) for row in armed] == [
        Timer("t0", due[0]),
        Timer("t1", due[0]),
    ]
    assert datetime.now(UTC).timestamp() * 1000 >= due[0]


@pytest.mark.parametrize("race", ["timeout", "sibling"])
async def test_a_sleep_that_the_workflow_cancels(open_engine: OpenEngine, race: str) -> None:
    async def timeout(ctx: DurableContext) -> str:
        try:
            async with asyncio.timeout(0.05):
                await ctx.sleep(HOUR)
        except TimeoutError:
            return await ctx.step(note, "timed out")
        return "slept"

    async def sibling(ctx: DurableContext) -> str:
        sleeping = asyncio.create_task(ctx.sleep(HOUR))
        await ctx.step(note, "quick")
        sleeping.cancel()
        await asyncio.wait({sleeping})
        return await ctx.step(note, f"cancelled {sleeping.cancelled()}")

    body = timeout if race == "timeout" else sibling
    live, replayed = await live_and_replayed(open_engine, body)
    assert live == replayed
    assert live in {"timed out", "cancelled True"}


async def test_a_step_where_a_timer_stands_is_a_divergence(open_engine: OpenEngine) -> None:
    stage = Stage()

    async def sleeps(ctx: DurableContext) -> None:
        await ctx.sleep(0)
        await ctx.step(note, "done")
        await stage.pause()

    async def steps(ctx: DurableContext) -> None:
        await ctx.step(note, "other")

    first, second = version(sleeps), version(steps)
    async with open_engine(first) as engine:
        handle = await engine.start(first)
        await stage.reached.wait()
    async with open_engine(second) as engine:
        with pytest.raises(ReplayDivergence, match="asks for 'note', the journal holds a timer"):
            await (await engine.get(handle.id)).result()


async def test_a_timer_where_a_step_stands_is_a_divergence(open_engine: OpenEngine) -> None:
    stage = Stage()

    async def steps(ctx: DurableContext) -> None:
        await ctx.step(note, "other")
        await stage.pause()

    async def sleeps(ctx: DurableContext) -> None:
        await ctx.sleep(0)

    first, second = version(steps), version(sleeps)
    async with open_engine(first) as engine:
        handle = await engine.start(first)
        await stage.reached.wait()
    async with open_engine(second) as engine:
        with pytest.raises(ReplayDivergence, match=r"'durable\.sleep', the journal holds 'note'"):
            await (await engine.get(handle.id)).result()


async def test_a_timer_that_nobody_asks_for_is_a_divergence(open_engine: OpenEngine) -> None:
    stage = Stage()

    async def sleeps(ctx: DurableContext) -> None:
        await ctx.step(note, "first")
        await ctx.sleep(0)
        await stage.pause()

    async def nothing(ctx: DurableContext) -> None:
        await ctx.step(note, "first")

    first, second = version(sleeps), version(nothing)
    async with open_engine(first) as engine:
        handle = await engine.start(first)
        await stage.reached.wait()
    async with open_engine(second) as engine:
        with pytest.raises(ReplayDivergence, match="journaled steps: 1 a timer"):
            await (await engine.get(handle.id)).result()


@pytest.mark.parametrize(
    "wrong",
    [
        *(-1, -0.001, 1e15, 10**400, float("inf"), float("nan"), "1", True, None),
        *(timedelta(seconds=-1), timedelta.max, LATEST_MS / 1000 - HOUR),
    ],
)
async def test_a_time_that_cannot_be_waited_for(open_engine: OpenEngine, wrong: object) -> None:
    async def body(ctx: DurableContext) -> str:
        promise = await ctx.promise(str, name="approval")
        with pytest.raises(ConfigError, match="a time to wait"):
            await ctx.sleep(wrong)  # type: ignore[arg-type]
        if wrong is not None:
            with pytest.raises(ConfigError, match="a time to wait"):
                await ctx.await_promise(promise, timeout=wrong)  # type: ignore[arg-type]
            with pytest.raises(ConfigError, match="a time to wait"):
                await ctx.receive("number", int, timeout=wrong)  # type: ignore[arg-type]
        return await ctx.step(note, "goes on")

    program = version(body)
    async with open_engine(program) as engine:
        assert await engine.run(program) == "goes on"


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (datetime(2020, 1, 1, tzinfo=UTC), "before the execution began"),
        (datetime.min.replace(tzinfo=timezone(timedelta(hours=12))), "before the execution began"),
        (datetime.max.replace(tzinfo=timezone(-timedelta(hours=1))), "beyond the year 9999"),
        (datetime(2099, 1, 1), "with a time zone"),  # noqa: DTZ001 - that is what is wrong
        (0, "with a time zone"),
        (None, "with a time zone"),
    ],
)
async def test_a_point_that_cannot_be_waited_for(
    open_engine: OpenEngine, wrong: object, why: str
) -> None:
    async def body(ctx: DurableContext) -> str:
        with pytest.raises(ConfigError, match=f"a point in time .*{why}"):
            await ctx.sleep_until(wrong)  # type: ignore[arg-type]
        return await ctx.step(note, "goes on")

    program = version(body)
    async with open_engine(program) as engine:
        assert await engine.run(program) == "goes on"


async def test_the_end_of_the_year_9999_can_be_waited_for(open_engine: OpenEngine) -> None:
    """As a point in time, and as a span that is reckoned from a little earlier."""
    latest = datetime.max.replace(tzinfo=UTC)

    async def body(ctx: DurableContext) -> str:
        sleeping = [asyncio.create_task(ctx.sleep_until(latest))]
        row = await engine.parts.backend.load(ctx.execution_id.bytes)
        assert row is not None
        longest = timedelta(milliseconds=LATEST_MS - row.created_at)
        sleeping.append(asyncio.create_task(ctx.sleep(longest)))
        await asyncio.sleep(0)
        value = await ctx.step(note, "goes on")
        for each in sleeping:
            each.cancel()
        await asyncio.wait(sleeping)
        return value

    program = version(body)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        assert await handle.result(20) == "goes on"
        rows = await entries(engine, handle)
    armed = [Timer.decode(row.detail) for row in rows if row.entry_kind == EntryKind.TIMER_ARMED]
    assert armed == [Timer("t0", LATEST_MS), Timer("t1", LATEST_MS)]


async def test_a_resumed_failure_does_not_wait_once_more(open_engine: OpenEngine) -> None:
    """A fresh run waits until the time that was armed by the one that failed."""
    fails = [True]

    async def body(ctx: DurableContext) -> str:
        await ctx.step(note, "before")
        await ctx.sleep(0.05)
        if fails:
            raise ValueError
        return "well"

    async def longer(ctx: DurableContext) -> str:
        await ctx.step(note, "before")
        await ctx.step(note, "one step more, so that positions have moved")
        await ctx.sleep(HOUR)
        return "well"

    first, other = version(body), version(longer)
    async with open_engine(first) as engine:
        handle = await engine.start(first)
        with pytest.raises(Exception, match="ValueError"):
            await handle.result()
    async with open_engine(other) as engine:
        assert await (await engine.resume(handle.id)).result(20) == "well"
