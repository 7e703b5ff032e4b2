"""A cancellation that a guarded function outlasts: it reaches whatever its task awaits next."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from durable_core import (
    DurableContext,
    EffectClass,
    OnAmbiguous,
    step,
)
from durable_core.engine.outcome import STEP_CANCELLED, Failure
from durable_core.errors import StepFailed
from durable_core.model.entries import EntryKind
from tests.engines import OpenEngine
from tests.programs import Stage, version
from tests.unit.engine.placing import place, rows_of
from tests.unit.engine.replaying import live_and_replayed

Line = Callable[[DurableContext], Awaitable[str]]
guarded = step(effect=EffectClass.EXACTLY_ONCE_GUARDED, on_ambiguous=OnAmbiguous.FAIL)


async def in_its_own_task(ctx: DurableContext, line: Line) -> str:
    return await line(ctx)


async def in_a_helper(ctx: DurableContext, line: Line) -> str:
    (seen,) = await asyncio.gather(line(ctx))
    return seen


async def in_a_branch(ctx: DurableContext, line: Line) -> str:
    async def branch(ctx: DurableContext) -> str:
        return await line(ctx)

    async with ctx.parallel() as group:
        task = group.start(branch)
    return task.result()


class Limit:
    """A time limit that expires while the function of `pay` runs.

    On replay, where that is not called, it does when what stands behind has been asked for.
    """

    def __init__(self, *, fails: bool = False) -> None:
        self.calls: list[str] = []
        self.scopes: list[asyncio.Timeout] = []

        @guarded
        async def pay(who: str) -> str:
            self.calls.append(who)
            if len(self.calls) == 1:
                self.scopes[0].reschedule(asyncio.get_running_loop().time())
                while not self.scopes[0].expired():  # noqa: ASYNC110 - nobody says when it has
                    await asyncio.sleep(0)
            if fails:
                raise ValueError
            return who

        self.pay = pay

    def scope(self) -> asyncio.Timeout:
        self.scopes.append(asyncio.timeout(None))
        return self.scopes[-1]

    async def over(self, asked: Awaitable[object]) -> None:
        """What was asked for, which ends with the limit."""
        if len(self.scopes) > 1:
            self.scopes[-1].reschedule(asyncio.get_running_loop().time())
        await asked


async def endless(_ctx: DurableContext, limit: Limit) -> None:
    await limit.over(asyncio.Event().wait())


async def pays_again(ctx: DurableContext, limit: Limit) -> None:
    await limit.over(ctx.step(limit.pay, "second"))


async def pays_several(ctx: DurableContext, limit: Limit) -> None:
    several = asyncio.gather(ctx.step(limit.pay, "second"), ctx.step(limit.pay, "third"))
    await limit.over(several)


async def waits_for_a_timer(ctx: DurableContext, limit: Limit) -> None:
    await limit.over(ctx.sleep(3600))


@pytest.mark.parametrize("where", [in_its_own_task, in_a_helper, in_a_branch])
@pytest.mark.parametrize("behind", [endless, pays_again, pays_several])
async def test_ec_32c_a_time_limit_reaches_what_stands_behind(
    where: Callable[[DurableContext, Line], Awaitable[str]],
    behind: Callable[[DurableContext, Limit], Awaitable[None]],
    open_engine: OpenEngine,
) -> None:
    """What was paid is known; the next thing is cancelled, be it a step or not."""
    limit = Limit()

    async def line(ctx: DurableContext) -> str:
        paid = "nothing"
        try:
            async with limit.scope():
                paid = await ctx.step(limit.pay, "first")
                await behind(ctx, limit)
        except TimeoutError:
            return f"{paid}, late"
        return "on time"

    async def body(ctx: DurableContext) -> str:
        seen = await where(ctx, line)
        return f"{seen}, {(await ctx.step(place, 'after')).partition(' ')[0]}"

    assert await live_and_replayed(open_engine, body) == ["first, late, after"] * 2
    assert limit.calls == ["first"], "no guarded function begins behind the limit"


async def test_ec_32c_a_time_limit_reaches_a_timer_behind(open_engine: OpenEngine) -> None:
    limit = Limit()

    async def body(ctx: DurableContext) -> str:
        try:
            async with limit.scope():
                await ctx.step(limit.pay, "first")
                await waits_for_a_timer(ctx, limit)
        except TimeoutError:
            return await ctx.step(place, "late")
        return "on time"

    assert await live_and_replayed(open_engine, body) == ["late at 2"] * 2


async def test_ec_32c_a_time_limit_reaches_the_handler_of_a_failure(
    open_engine: OpenEngine,
) -> None:
    limit = Limit(fails=True)

    async def body(ctx: DurableContext) -> str:
        try:
            async with limit.scope():
                try:
                    await ctx.step(limit.pay, "first")
                except StepFailed:
                    await endless(ctx, limit)
        except TimeoutError:
            return await ctx.step(place, "late")
        return "on time"

    assert await live_and_replayed(open_engine, body) == ["late at 1"] * 2


async def test_a_limit_that_was_left_reaches_nothing_behind_it(open_engine: OpenEngine) -> None:
    limit = Limit()

    async def body(ctx: DurableContext) -> str:
        async with limit.scope():
            paid = await ctx.step(limit.pay, "first")
        for _ in range(5):
            await asyncio.sleep(0)
        return f"{paid}, {await ctx.step(place, 'on time')}"

    assert await live_and_replayed(open_engine, body) == ["first, on time at 1"] * 2


async def test_ec_32c_a_step_behind_a_limit_is_journaled_as_cancelled(
    open_engine: OpenEngine,
) -> None:
    """Also where it was wrapped into a task: a replay waits for the same limit there."""
    limit = Limit()

    async def body(ctx: DurableContext) -> None:
        try:
            async with limit.scope():
                await ctx.step(limit.pay, "first")
                await pays_several(ctx, limit)
        except TimeoutError:
            pass

    program = version(body)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        await handle.result()
        row = await engine.parts.backend.load(handle.id.bytes)
        assert row is not None
        envelope = engine.parts.wire.verified(row)
        closing = [
            (each.step_id, Failure.decode(envelope.open(each)).error_type)
            for each in await rows_of(engine, handle.id)
            if each.entry_kind == EntryKind.STEP_FAILED
        ]
    assert sorted(closing) == [("1", STEP_CANCELLED), ("2", STEP_CANCELLED)]


@pytest.mark.parametrize("form", ["group", "branches"])
async def test_ec_32c_a_failed_sibling_reaches_what_stands_behind(
    form: str, open_engine: OpenEngine
) -> None:
    """The block waits for the guarded function, and for nothing that its task awaits then."""
    stage = Stage()
    seen: list[str] = []

    @guarded
    async def pay() -> str:
        stage.reached.set()
        await stage.gate.wait()
        return "paid"

    @step
    async def failing() -> None:
        await stage.reached.wait()
        raise ValueError

    async def pays(ctx: DurableContext) -> None:
        seen.append(await ctx.step(pay))
        await asyncio.Event().wait()

    async def fails(ctx: DurableContext) -> None:
        try:
            await ctx.step(failing)
        finally:
            asyncio.get_running_loop().call_later(0.01, stage.gate.set)

    async def body(ctx: DurableContext) -> str:
        outcome = "went well"
        try:
            if form == "group":
                async with asyncio.TaskGroup() as group:
                    group.create_task(pays(ctx))
                    group.create_task(fails(ctx))
            else:
                async with ctx.parallel() as block:
                    block.start(pays)
                    block.start(fails)
        except* StepFailed:
            outcome = "failed"
        return outcome

    assert await live_and_replayed(open_engine, body) == ["failed", "failed"]
    assert seen == ["paid", "paid"]
