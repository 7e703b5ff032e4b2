"""Steps that are called in tasks which the workflow makes itself: matched by content."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter

import pytest

from durable_core import (
    DurableContext,
    EffectClass,
    OnAmbiguous,
    step,
)
from durable_core.errors import (
    ExecutionError,
    ReplayDivergence,
    StepFailed,
)
from tests.engines import OpenEngine
from tests.programs import Stage, version
from tests.unit.engine.placing import place, rows_of
from tests.unit.engine.replaying import live_and_replayed


async def test_ids_are_made_of_content_and_occurrence(open_engine: OpenEngine) -> None:
    async def helper(ctx: DurableContext, name: str) -> None:
        await ctx.step(place, name)
        await ctx.step(place, name)

    async def branch(ctx: DurableContext) -> None:
        await asyncio.gather(helper(ctx, "x"), helper(ctx, "y"))

    async def body(ctx: DurableContext) -> str:
        await asyncio.gather(helper(ctx, "x"), helper(ctx, "x"))
        async with ctx.parallel() as group:
            group.start(branch)
        return await ctx.step(place, "x")

    program = version(body)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        assert await handle.result() == "x at 1"
        rows = await rows_of(engine, handle.id)
    digits = {row.step_id: row.fingerprint.hex()[:16] for row in rows}
    x = digits["1"]
    assert {each for each in digits if each.startswith("~")} == {f"~{x}.{n}" for n in range(4)}
    nested = {each for each in digits if each.startswith("0.0.")}
    assert {f"0.0.~{x}.0", f"0.0.~{x}.1"} < nested
    assert len(nested) == 4
    assert len({row.idem_key for row in rows}) == 9, "each call has a key of its own"


async def test_ec_18c_results_never_change_places(open_engine: OpenEngine) -> None:
    """Durations are swapped on replay, also of what the journal does not hold yet."""
    first = True
    seen: dict[str, list[str]] = {"a": [], "b": []}
    numbers = itertools.count()

    @step(name="work")
    async def work(who: str, part: int) -> str:
        slow = (who == "a") == first
        await asyncio.sleep(0.02 if slow else 0)
        return f"{who}{part}#{next(numbers)}"

    async def helper(ctx: DurableContext, who: str) -> None:
        # On replay they wait the other way round, too.
        await asyncio.sleep(0 if (who == "a") == first else 0.005)
        for part in range(2):
            seen[who].append(await ctx.step(work, who, part))

    async def body(ctx: DurableContext) -> None:
        await asyncio.gather(helper(ctx, "a"), helper(ctx, "b"))

    async def observed(ctx: DurableContext) -> list[list[str]]:
        nonlocal first
        seen.update(a=[], b=[])
        await body(ctx)
        first = False
        return [seen["a"], seen["b"]]

    live, replayed = await live_and_replayed(open_engine, observed)
    assert live == replayed
    assert [[each.partition("#")[0] for each in who] for who in [*seen.values()]] == [
        ["a0", "a1"],
        ["b0", "b1"],
    ]


async def test_equal_calls_get_each_one_of_the_recorded_results(open_engine: OpenEngine) -> None:
    """Also where it is chance which of them calls first."""
    numbers = itertools.count()
    live = True

    @step(name="draw")
    async def draw() -> int:
        return next(numbers)

    async def helper(ctx: DurableContext, index: int) -> int:
        await asyncio.sleep((index if live else 4 - index) * 0.002)
        return await ctx.step(draw)

    async def body(ctx: DurableContext) -> list[int]:
        nonlocal live
        values = await asyncio.gather(*(helper(ctx, index) for index in range(4)))
        live = False
        return list(values)

    live_values, replayed = await live_and_replayed(open_engine, body)
    assert isinstance(live_values, list)
    assert isinstance(replayed, list)
    assert Counter(live_values) == Counter(replayed) == Counter(range(4))


async def test_equal_calls_behind_equal_steps_keep_their_own(open_engine: OpenEngine) -> None:
    """Helpers that wait for nothing but steps call in the same order whenever they run."""
    numbers = itertools.count()

    @step(name="draw")
    async def draw() -> int:
        return next(numbers)

    async def helper(ctx: DurableContext) -> list[int]:
        return [await ctx.step(draw) for _ in range(3)]

    async def body(ctx: DurableContext) -> list[list[int]]:
        return list(await asyncio.gather(*(helper(ctx) for _ in range(3))))

    live, replayed = await live_and_replayed(open_engine, body)
    assert live == replayed
    assert isinstance(live, list)
    assert sorted(itertools.chain(*live)) == list(range(9))


async def test_what_stays_unconsumed_is_a_divergence(open_engine: OpenEngine) -> None:
    stage = Stage()

    async def helper(ctx: DurableContext, name: str) -> str:
        return await ctx.step(place, name)

    async def before(ctx: DurableContext) -> None:
        await asyncio.gather(helper(ctx, "a"), helper(ctx, "b"))
        await stage.pause()

    async def after(ctx: DurableContext) -> None:
        await asyncio.gather(helper(ctx, "a"), helper(ctx, "changed"))

    program = version(before)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        await stage.reached.wait()
    async with open_engine(version(after)) as engine:
        with pytest.raises(ReplayDivergence, match=r"without asking for .*~.*'place'"):
            await (await engine.get(handle.id)).result()


async def test_a_helper_whose_sibling_failed_begins_nothing_more(open_engine: OpenEngine) -> None:
    stage = Stage()

    @step(name="pay", effect=EffectClass.EXACTLY_ONCE_GUARDED, on_ambiguous=OnAmbiguous.FAIL)
    async def pay() -> None:
        stage.reached.set()
        await stage.gate.wait()

    @step(name="ship")
    async def ship() -> None:
        stage.calls.append("ship")

    @step(name="failing")
    async def failing() -> None:
        await stage.reached.wait()
        raise ValueError

    async def pays(ctx: DurableContext) -> None:
        await ctx.step(pay)
        await ctx.step(ship)

    async def fails(ctx: DurableContext) -> None:
        try:
            await ctx.step(failing)
        finally:
            asyncio.get_running_loop().call_later(0.01, stage.gate.set)

    async def body(ctx: DurableContext) -> list[str]:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(pays(ctx))
                group.create_task(fails(ctx))
        except ExceptionGroup as failed:
            return [type(error).__name__ for error in failed.exceptions]
        return []

    assert await live_and_replayed(open_engine, body) == [["StepFailed"]] * 2
    assert stage.calls == []


async def test_a_time_limit_that_a_guarded_step_outlasted_holds_for_the_next_one(
    open_engine: OpenEngine,
) -> None:
    stage = Stage()
    limits: list[asyncio.Timeout] = []

    @step(name="pay", effect=EffectClass.EXACTLY_ONCE_GUARDED, on_ambiguous=OnAmbiguous.FAIL)
    async def pay() -> str:
        limits[0].reschedule(asyncio.get_running_loop().time())
        while not limits[0].expired():  # noqa: ASYNC110 - nobody says when it has
            await asyncio.sleep(0)
        return "paid"

    @step(name="ship")
    async def ship() -> None:
        stage.calls.append("ship")

    async def body(ctx: DurableContext) -> str:
        paid = "not paid"
        try:
            async with asyncio.timeout(None) as limit:
                limits.append(limit)
                paid = await ctx.step(pay)
                shipping = ctx.step(ship)
                if len(limits) > 1:  # a replay, where the function of `pay` is not called
                    limit.reschedule(asyncio.get_running_loop().time())
                await shipping
        except TimeoutError:
            return f"{paid}, {await ctx.step(place, 'late')}"
        return "shipped"

    assert await live_and_replayed(open_engine, body) == ["paid, late at 2"] * 2
    assert stage.calls == []


async def test_a_helper_begins_before_recorded_steps_beside_it_are_answered(
    open_engine: OpenEngine,
) -> None:
    """Live it began while they ran. Without that its own step would be left over on replay."""
    stage = Stage()

    @step(name="slow")
    async def slow(name: str) -> str:
        await asyncio.sleep(0.01)
        return name

    @step(name="endless")
    async def endless() -> None:
        stage.calls.append("begun")
        await asyncio.Event().wait()

    async def helper(ctx: DurableContext) -> None:
        await ctx.step(endless)

    async def body(ctx: DurableContext) -> list[str]:
        task = asyncio.create_task(helper(ctx))
        seen = [await ctx.step(slow, "a"), await ctx.step(slow, "b")]
        task.cancel()
        await asyncio.wait({task})
        return seen

    assert await live_and_replayed(open_engine, body) == [["a", "b"]] * 2
    assert stage.calls == ["begun"]


async def test_what_needs_a_position_is_refused_in_a_helper(open_engine: OpenEngine) -> None:
    async def helper(ctx: DurableContext) -> str:
        for what in (ctx.parallel, lambda: ctx.sleep(1)):
            with pytest.raises(ExecutionError, match="not the branch's own"):
                what()
        for draw in (ctx.uuid, ctx.random):
            with pytest.raises(ExecutionError, match="branch's own task"):
                draw()
        return (await ctx.now()).isoformat()

    async def body(ctx: DurableContext) -> str:
        return await asyncio.create_task(helper(ctx))

    live, replayed = await live_and_replayed(open_engine, body)
    assert live == replayed


def asks(ctx: DurableContext) -> str:
    with pytest.raises(ExecutionError, match="thread or callback"):
        _ = ctx.step(place, "x")
    return "refused"


def asks_in_a_loop_of_its_own(ctx: DurableContext) -> str:
    async def asking() -> str:
        return asks(ctx)

    return asyncio.run(asking())


async def test_steps_of_threads_and_callbacks_are_refused(open_engine: OpenEngine) -> None:
    async def body(ctx: DurableContext) -> list[str]:
        loop = asyncio.get_running_loop()
        called = loop.create_future()
        loop.call_soon(lambda: called.set_result(asks(ctx)))
        in_threads = [asyncio.to_thread(each, ctx) for each in (asks, asks_in_a_loop_of_its_own)]
        return [await called, *(await asyncio.gather(*in_threads))]

    program = version(body)
    async with open_engine(program) as engine:
        assert await engine.run(program) == ["refused"] * 3


async def test_a_helper_that_is_left_behind_is_refused(open_engine: OpenEngine) -> None:
    tasks: list[asyncio.Task[str]] = []
    gate = asyncio.Event()

    async def helper(ctx: DurableContext) -> str:
        await gate.wait()
        return await ctx.step(place, "late")

    async def body(ctx: DurableContext) -> None:
        tasks.append(asyncio.create_task(helper(ctx)))
        await ctx.step(place, "x")

    program = version(body)
    async with open_engine(program) as engine:
        await engine.run(program)
        gate.set()
        await asyncio.wait(tasks)
    with pytest.raises(ExecutionError, match="has ended here"):
        tasks[0].result()


async def test_a_failure_of_a_step_reaches_the_helper(open_engine: OpenEngine) -> None:
    @step(name="failing")
    async def failing(name: str) -> None:
        raise ValueError(name)

    async def helper(ctx: DurableContext, name: str) -> str:
        try:
            await ctx.step(failing, name)
        except StepFailed as failed:
            return failed.message
        return "no failure"

    async def body(ctx: DurableContext) -> list[str]:
        return list(await asyncio.gather(helper(ctx, "a"), helper(ctx, "b")))

    assert await live_and_replayed(open_engine, body) == [["a", "b"]] * 2


@pytest.mark.parametrize("guarded", [False, True])
@pytest.mark.parametrize("turns", [0, 1, 20])
async def test_helpers_that_were_made_before_a_step_call_before_it_is_told(
    open_engine: OpenEngine, turns: int, *, guarded: bool
) -> None:
    """However long the step takes live, and although it is at hand on replay."""
    numbers = itertools.count()

    @step
    async def same() -> int:
        return next(numbers)

    @step(effect=EffectClass.EXACTLY_ONCE_GUARDED if guarded else EffectClass.IDEMPOTENT)
    async def own() -> None:
        for _ in range(turns):
            await asyncio.sleep(0)

    async def deep(ctx: DurableContext, levels: int) -> int:
        if not levels:
            return await ctx.step(same)
        (number,) = await asyncio.gather(deep(ctx, levels - 1))
        return number

    async def body(ctx: DurableContext) -> list[int]:
        before = asyncio.create_task(deep(ctx, 3))
        await ctx.step(own)
        behind = asyncio.create_task(deep(ctx, 0))
        return [await before, await behind]

    assert await live_and_replayed(open_engine, body) == [[0, 1]] * 2
