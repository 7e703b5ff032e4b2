"""Places of an engine with a limit: who only waits needs none, and waits for one to go on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from durable_core import DurableContext, DurableEngine, DurablePromise, step
from durable_core.engine.definition import Workflow
from durable_core.engine.places import Place, Places
from durable_core.model.entries import EntryKind
from tests.engines import OpenEngine
from tests.holding import turns
from tests.programs import Stage, version
from tests.unit.engine.promising import Asked, kinds, note, polled


async def resolved(engine: DurableEngine, promise: DurablePromise[Any], value: str) -> None:
    await engine.resolve(promise.id, promise.token, value)


@pytest.mark.dialects
async def test_a_parent_that_waits_leaves_its_place_to_its_child(open_engine: OpenEngine) -> None:
    child = version(lambda ctx: ctx.step(note, "done"), "child")

    async def body(ctx: DurableContext) -> str:
        return str(await (await ctx.start_child(child)).result())

    program = version(body)
    async with open_engine(program, child, max_concurrent_executions=1) as engine:
        assert await engine.run(program) == "done"


async def test_a_branch_that_ends_leaves_the_place_to_the_child_of_another_one(
    open_engine: OpenEngine,
) -> None:
    child = version(lambda ctx: ctx.step(note, "done"), "child")
    ended = asyncio.Event()

    async def waits(ctx: DurableContext) -> str:
        started = await ctx.start_child(child)
        return str(await started.result())

    async def sleeps(ctx: DurableContext) -> None:
        await ctx.sleep(0)
        await ctx.step(note, "slept")
        ended.set()

    async def body(ctx: DurableContext) -> str:
        async with ctx.parallel() as group:
            group.start(sleeps)
            waiting = group.start(waits)
        return waiting.result()

    program = version(body)
    async with open_engine(program, child, max_concurrent_executions=1) as engine:
        assert await engine.run(program) == "done"
    assert ended.is_set()


@pytest.mark.dialects
async def test_more_executions_wait_than_there_are_places(open_engine: OpenEngine) -> None:
    asked = Asked()
    async with open_engine(asked.program, max_concurrent_executions=1) as engine:
        handles = [await engine.start(asked.program) for _ in range(4)]
        for promise in [await asked.out.get() for _ in handles]:
            await resolved(engine, promise, "yes")
        assert await asyncio.gather(*(handle.result() for handle in handles)) == ["yes"] * 4


@pytest.mark.dialects
@pytest.mark.parametrize("wait", ["promise", "sleep", "signal"])
async def test_all_that_waited_is_recovered_though_none_of_it_ends(
    open_engine: OpenEngine, wait: str
) -> None:
    """The last one must not have to wait until the first ones have what they wait for."""
    begun: asyncio.Queue[None] = asyncio.Queue()

    async def body(ctx: DurableContext) -> None:
        await ctx.step(note, "first")
        promise = await ctx.promise(str, name="word")
        begun.put_nowait(None)
        if wait == "promise":
            await ctx.await_promise(promise)
        elif wait == "sleep":
            await ctx.sleep(3600)
        else:
            await ctx.receive("word", str)

    program = version(body)
    async with open_engine(program) as engine:
        for _ in range(5):
            await engine.start(program)
        for _ in range(5):
            await begun.get()
    async with open_engine(program, max_concurrent_executions=2):
        for _ in range(5):
            await begun.get()


async def all_wait(engine: DurableEngine, count: int) -> None:
    """Return when so many executions do nothing but wait here."""
    roster = engine._roster
    while (roster.size, roster.load) != (count, 0):
        await polled(engine, 1)


def counting(gate: Stage) -> tuple[Workflow[..., Any], list[str]]:
    """A workflow that waits, and then notes in a step that it goes on."""
    at_work: list[str] = []

    @step(name="work")
    async def work() -> str:
        at_work.append("at work")
        await gate.pause()
        return "done"

    async def body(ctx: DurableContext) -> str:
        assert await ctx.receive("go", str) == "now"
        return await ctx.step(work)

    return version(body), at_work


async def test_what_is_woken_waits_for_a_place(open_engine: OpenEngine) -> None:
    gate = Stage()
    program, at_work = counting(gate)
    async with open_engine(program, max_concurrent_executions=1) as engine:
        handles = [await engine.start(program) for _ in range(2)]
        await all_wait(engine, 2)
        for handle in handles:
            await engine.signal(handle.id, "go", "now")
        await gate.reached.wait()
        for handle in handles:
            while EntryKind.PROMISE_RESOLVED not in await kinds(engine, handle.id):
                await polled(engine, 1)
        await polled(engine, 2)
        assert len(at_work) == 1
        gate.gate.set()
        assert await asyncio.gather(*(handle.result() for handle in handles)) == ["done"] * 2
        assert len(at_work) == 2


async def test_an_execution_is_stopped_that_waits_to_go_on(open_engine: OpenEngine) -> None:
    gate = Stage()
    program, at_work = counting(gate)
    async with open_engine(program, max_concurrent_executions=1) as engine:
        first, second = [await engine.start(program) for _ in range(2)]
        await all_wait(engine, 2)
        await engine.signal(first.id, "go", "now")
        await gate.reached.wait()
        await engine.signal(second.id, "go", "now")
        while EntryKind.PROMISE_RESOLVED not in await kinds(engine, second.id):
            await polled(engine, 1)
        await engine.cancel(second.id)
        gate.gate.set()
        assert await first.result() == "done"
        third = await engine.start(program)
        await engine.signal(third.id, "go", "now")
        assert await third.result() == "done"
    assert len(at_work) == 2


# --- one place by itself


async def waiting(place: Place, until: Awaitable[Any]) -> asyncio.Task[Any]:
    """A task that waits, whose place is given away."""
    task = asyncio.ensure_future(place.until(until))
    await asyncio.sleep(0)
    place._settle()
    return task


async def taken(places: Places, only: Callable[[int], bool]) -> Place:
    place = Place(places)
    await place.first(asyncio.Event())
    place.watch(only)
    return place


async def test_the_place_of_one_that_waits_and_works_is_kept() -> None:
    freed: list[None] = []
    places = Places(1, lambda: freed.append(None))
    place = await taken(places, lambda waits: waits > 1)
    gates = [asyncio.Event(), asyncio.Event()]
    first = await waiting(place, gates[0].wait())
    assert (places.given, freed) == (0, [])
    second = await waiting(place, gates[1].wait())
    assert (places.given, freed) == (1, [None])
    for gate in gates:
        gate.set()
    await asyncio.gather(first, second)
    assert places.given == 0
    place.close()
    assert places.ask().done()


async def test_who_is_cancelled_does_not_wait_for_a_place() -> None:
    places = Places(1, lambda: None)
    place = await taken(places, lambda _: True)
    gate = asyncio.Event()
    task = await waiting(place, gate.wait())
    other = places.ask()
    assert other.done()
    gate.set()
    await turns()
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    third = places.ask()
    places.leave()
    assert not third.done()  # two had places, and one of them has its own still
    place.close()
    assert third.done()


async def test_lines_that_wake_together_share_the_place() -> None:
    places = Places(1, lambda: None)
    place = await taken(places, lambda _: True)
    gate = asyncio.Event()
    lines = [await waiting(place, gate.wait()), await waiting(place, gate.wait())]
    assert places.ask().done()
    gate.set()
    await turns()
    assert [line.done() for line in lines] == [False, False]
    lines[0].cancel()
    assert await asyncio.wait_for(lines[1], 10) is True
    place.close()
    last = places.ask()
    assert not last.done()
    places.leave()
    assert last.done()


async def test_who_ends_while_asking_leaves_no_place_behind() -> None:
    places = Places(1, lambda: None)
    first, second = await taken(places, lambda _: True), Place(places)
    stopping = asyncio.Event()
    stopping.set()
    await second.first(stopping)
    second.close()
    first.close()
    assert places.ask().done()


async def test_a_place_that_came_too_late_is_given_back() -> None:
    places = Places(1, lambda: None)
    place = await taken(places, lambda _: True)
    gate = asyncio.Event()
    task = await waiting(place, gate.wait())
    assert places.ask().done()
    gate.set()
    await turns()
    places.leave()
    task.cancel()  # in the same turn in which its place has come
    await asyncio.wait({task})
    place.close()
    assert places.ask().done()
