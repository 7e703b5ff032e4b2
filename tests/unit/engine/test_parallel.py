"""`ctx.parallel()`: ids, results, errors, cancellation, and what is refused."""

from __future__ import annotations

import asyncio

import pytest

from durable_core import (
    DurableContext,
    EffectClass,
    OnAmbiguous,
    current_step,
    step,
)
from durable_core.engine.parallel import BranchTask
from durable_core.errors import (
    ExecutionFailed,
    StepFailed,
)
from tests.engines import OpenEngine
from tests.programs import Stage, version
from tests.unit.engine.placing import place
from tests.unit.engine.replaying import live_and_replayed


async def test_branches_number_their_own_steps(open_engine: OpenEngine) -> None:
    async def inner(ctx: DurableContext, name: str) -> list[str]:
        return [await ctx.step(place, name), await ctx.step(place, name)]

    async def outer(ctx: DurableContext, name: str) -> list[str]:
        seen = [await ctx.step(place, name)]
        async with ctx.parallel() as group:
            tasks = [group.start(inner, f"{name}{index}") for index in range(2)]
        return [*seen, *(each for task in tasks for each in task.result())]

    async def body(ctx: DurableContext) -> list[str]:
        seen = [await ctx.step(place, "root")]
        async with ctx.parallel() as group:
            a, b = group.start(outer, "a"), group.start(inner, "b")
            seen.append(await ctx.step(place, "root"))
        return [*seen, *a.result(), *b.result(), await ctx.step(place, "root")]

    live, replayed = await live_and_replayed(open_engine, body)
    assert live == replayed
    assert live == [
        "root at 0",
        "root at 2",
        "a at 1.0.0",
        "a0 at 1.0.1.0.0",
        "a0 at 1.0.1.0.1",
        "a1 at 1.0.1.1.0",
        "a1 at 1.0.1.1.1",
        "b at 1.1.0",
        "b at 1.1.1",
        "root at 3",
    ]


async def test_idempotency_keys_hold_no_positions(open_engine: OpenEngine) -> None:
    """They tell blocks and branches apart, and stay what they are when a step moves in front."""
    keys: dict[str, list[bytes]] = {"before": [], "after": []}
    moved = "before"

    @step(name="charge")
    async def charge() -> None:
        keys[moved].append(current_step().idempotency_key)

    async def branch(ctx: DurableContext) -> None:
        if moved == "after":
            await ctx.step(place, "moved")
        await ctx.step(charge)
        await ctx.step(charge)

    async def body(ctx: DurableContext) -> None:
        if moved == "after":
            await ctx.step(place, "moved")
        for _ in range(2):
            async with ctx.parallel() as group:
                group.start(branch)
                group.start(branch)
        await ctx.step(charge)
        if moved == "before":
            raise LookupError

    program = version(body)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        with pytest.raises(ExecutionFailed):
            await handle.result()
        moved = "after"
        rows = await engine.parts.backend.journal.read_execution(handle.id.bytes)
        await (await engine.resume(handle.id)).result()
        after = await engine.parts.backend.journal.read_execution(handle.id.bytes)
    assert len(set(keys["before"])) == 9
    taken_over = {row.idem_key for row in after[len(rows) :] if row.idem_key}
    assert set(keys["before"]) < taken_over
    assert keys["after"] == [], "all of it was taken over"


async def test_draws_belong_to_their_branch(open_engine: OpenEngine) -> None:
    async def branch(ctx: DurableContext) -> list[object]:
        first = ctx.uuid()
        await ctx.step(place, "between")
        return [first, ctx.random(), await ctx.now()]

    async def body(ctx: DurableContext) -> list[object]:
        async with ctx.parallel() as group:
            tasks = [group.start(branch) for _ in range(3)]
        return [ctx.uuid(), ctx.random(), *(task.result() for task in tasks)]

    live, replayed = await live_and_replayed(open_engine, body)
    assert live == replayed
    assert isinstance(live, list)
    draws = [live[0], live[1], *(draw for branch_ in live[2:] for draw in branch_[:2])]
    assert len(set(draws)) == 8


async def test_a_block_without_branches_and_a_branch_without_steps(
    open_engine: OpenEngine,
) -> None:
    async def branch(_ctx: DurableContext, value: int, *, more: int = 1) -> int:
        return value + more

    async def body(ctx: DurableContext) -> list[int]:
        async with ctx.parallel():
            pass
        async with ctx.parallel() as group:
            tasks = [group.start(branch, 1), group.start(branch, 2, more=5)]
        assert repr(tasks[0]) == "<BranchTask of branch 1.0>"
        assert repr(group).startswith("<ParallelBlock at step 1 of execution ")
        return [task.result() for task in tasks]

    assert await live_and_replayed(open_engine, body) == [[2, 7]] * 2


async def test_a_failure_cancels_the_siblings_and_is_raised_as_a_group(
    open_engine: OpenEngine,
) -> None:
    begun = asyncio.Event()
    calls: list[str] = []

    @step(name="endless")
    async def endless(name: str) -> None:
        calls.append(name)
        begun.set()
        await asyncio.Event().wait()

    @step(name="failing")
    async def failing() -> None:
        await begun.wait()
        raise ValueError

    async def waits(ctx: DurableContext, name: str) -> None:
        await ctx.step(endless, name)

    async def nested(ctx: DurableContext) -> None:
        async with ctx.parallel() as group:
            group.start(waits, "deep")

    async def fails(ctx: DurableContext) -> None:
        await ctx.step(failing)

    async def body(ctx: DurableContext) -> object:
        seen: list[object] = []
        tasks: list[BranchTask[None]] = []
        try:
            async with ctx.parallel() as group:
                tasks += [group.start(waits, "a"), group.start(nested), group.start(fails)]
                await ctx.step(endless, "body")
        except* StepFailed as failed:
            seen.append([each.step for each in failed.exceptions if isinstance(each, StepFailed)])
        for task in tasks:
            try:
                task.result()
            except (asyncio.CancelledError, StepFailed) as error:
                seen.append(type(error).__name__)
        return [*seen, await ctx.step(place, "after")]

    expected = [["failing"], "CancelledError", "CancelledError", "StepFailed", "after at 2"]
    assert await live_and_replayed(open_engine, body) == [expected] * 2
    assert sorted(calls) == ["a", "body", "deep"]


async def test_a_body_that_fails_cancels_its_branches(open_engine: OpenEngine) -> None:
    begun = asyncio.Event()

    @step(name="endless")
    async def endless() -> None:
        begun.set()
        await asyncio.Event().wait()

    async def branch(ctx: DurableContext) -> None:
        await ctx.step(endless)

    async def body(ctx: DurableContext) -> str:
        try:
            async with ctx.parallel() as group:
                group.start(branch)
                if not begun.is_set():
                    await begun.wait()
                await ctx.step(place, "turn")
                raise LookupError
        except ExceptionGroup as failed:
            return str([type(error).__name__ for error in failed.exceptions])

    assert await live_and_replayed(open_engine, body) == ["['LookupError']"] * 2


async def test_a_time_limit_around_a_block(open_engine: OpenEngine) -> None:
    @step(name="endless")
    async def endless() -> None:
        await asyncio.Event().wait()

    async def branch(ctx: DurableContext) -> None:
        await ctx.step(place, "first")
        await ctx.step(endless)

    async def body(ctx: DurableContext) -> str:
        try:
            async with asyncio.timeout(0.05), ctx.parallel() as group:
                group.start(branch)
                group.start(branch)
        except TimeoutError:
            return await ctx.step(place, "timeout")
        return "done"

    assert await live_and_replayed(open_engine, body) == ["timeout at 1"] * 2


async def test_a_branch_that_outlasted_its_cancellation_begins_nothing_more(
    open_engine: OpenEngine,
) -> None:
    """The guarded function that had begun is finished; the step behind it is not called."""
    stage = Stage()

    @step(name="pay", effect=EffectClass.EXACTLY_ONCE_GUARDED, on_ambiguous=OnAmbiguous.FAIL)
    async def pay() -> str:
        stage.reached.set()
        await stage.gate.wait()
        return "paid"

    @step(name="ship")
    async def ship() -> None:
        stage.calls.append("ship")

    @step(name="undo")
    async def undo(what: str) -> None:
        stage.calls.append(f"undo {what}")

    @step(name="failing")
    async def failing() -> None:
        await stage.reached.wait()
        raise ValueError

    async def pays(ctx: DurableContext) -> None:
        paid = await ctx.step(pay)
        try:
            await ctx.step(ship)
        except asyncio.CancelledError:
            await ctx.step(undo, paid)
            raise

    async def fails(ctx: DurableContext) -> None:
        try:
            await ctx.step(failing)
        finally:
            asyncio.get_running_loop().call_later(0.01, stage.gate.set)

    async def body(ctx: DurableContext) -> str:
        try:
            async with ctx.parallel() as group:
                group.start(pays)
                group.start(fails)
        except* StepFailed:
            pass
        return ",".join(stage.calls)

    assert await live_and_replayed(open_engine, body) == ["undo paid"] * 2


async def test_a_body_that_outlasted_a_failure_starts_nothing_more(
    open_engine: OpenEngine,
) -> None:
    stage = Stage()

    @step(name="pay", effect=EffectClass.EXACTLY_ONCE_GUARDED, on_ambiguous=OnAmbiguous.FAIL)
    async def pay() -> None:
        stage.reached.set()
        await stage.gate.wait()

    async def fails(_ctx: DurableContext) -> None:
        await stage.reached.wait()
        stage.gate.set()
        raise LookupError

    async def never(_ctx: DurableContext) -> None:
        stage.calls.append("begun")

    async def body(ctx: DurableContext) -> list[str]:
        try:
            async with ctx.parallel() as group:
                group.start(fails)
                await ctx.step(pay)
                group.start(never)
        except ExceptionGroup as failed:
            return [type(error).__name__ for error in failed.exceptions]
        return []

    program = version(body)
    async with open_engine(program) as engine:
        assert await (await engine.start(program)).result(20) == ["LookupError"]
    assert stage.calls == []


async def test_a_branch_that_is_cancelled_before_it_began(open_engine: OpenEngine) -> None:
    async def branch(_ctx: DurableContext) -> None: ...

    async def body(ctx: DurableContext) -> str:
        try:
            async with ctx.parallel() as group:
                group.start(branch)
                int("x")
        except* ValueError:
            pass
        return "done"

    program = version(body)
    async with open_engine(program) as engine:
        assert await engine.run(program) == "done"


async def test_a_direct_call_of_a_step_is_one_of_the_branch(open_engine: OpenEngine) -> None:
    async def branch(_ctx: DurableContext) -> str:
        return await place("direct")

    async def body(ctx: DurableContext) -> str:
        async with ctx.parallel() as group:
            task = group.start(branch)
        return task.result()

    program = version(body)
    async with open_engine(program) as engine:
        assert await engine.run(program) == "direct at 0.0.0"


async def test_sleeps_of_branches_have_timers_of_their_own(open_engine: OpenEngine) -> None:
    async def branch(ctx: DurableContext, seconds: float) -> str:
        await ctx.sleep(seconds)
        return await ctx.step(place, "slept")

    async def body(ctx: DurableContext) -> list[str]:
        async with ctx.parallel() as group:
            tasks = [group.start(branch, seconds) for seconds in (0.02, 0.01)]
        return [task.result() for task in tasks]

    expected = ["slept at 0.0.1", "slept at 0.1.1"]
    assert await live_and_replayed(open_engine, body) == [expected] * 2
