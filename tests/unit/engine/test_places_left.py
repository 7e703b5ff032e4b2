"""The place of an execution that ends while it waits for one: nobody holds it afterwards."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest

from durable_core.engine.places import Place, Places
from durable_core.errors import ExecutionCancelled
from tests.engines import OpenEngine
from tests.holding import turns
from tests.programs import Stage, version
from tests.unit.engine.promising import Asked


def taken(places: Places) -> Place:
    """A place that is held."""
    place = Place(places)
    assert place.take_at_once()
    return place


def one_place() -> Places:
    return Places(1, lambda: None)


async def test_what_is_closed_where_it_waits_for_its_place_wants_it_no_more() -> None:
    places, others = one_place(), list[Place]()
    closed = taken(places)

    async def waits() -> None:
        async with closed.waiting(1):
            others.append(taken(places))

    work = waits()
    work.send(None)
    assert not closed.held
    work.close()
    others[0].leave()
    assert not closed.held
    taken(places)


async def test_who_leaves_is_granted_no_place_that_it_was_cancelled_in_waiting_for() -> None:
    places = one_place()
    other, gone = taken(places), Place(places)
    taking = asyncio.ensure_future(gone.take())
    await turns(1)
    taking.cancel()
    gone.leave()
    other.leave()
    assert not gone.held
    taken(places)
    with pytest.raises(asyncio.CancelledError):
        await taking


async def test_the_queue_keeps_nobody_who_has_left() -> None:
    places = one_place()
    taken(places)
    gone = Place(places)
    assert not gone.take_at_once()
    gone.leave()
    left = weakref.ref(gone)
    del gone
    assert left() is None


async def test_who_leaves_a_wait_with_an_error_waits_for_no_place() -> None:
    places = one_place()
    place, others = taken(places), list[Place]()

    async def waits() -> None:
        async with place.waiting(1):
            others.append(taken(places))
            raise LookupError

    with pytest.raises(LookupError):
        waits().send(None)
    assert not place.waits
    others[0].leave()
    assert not place.held, "but it is granted none either"
    taken(places)


@pytest.mark.dialects
@pytest.mark.parametrize("how", ["cancelled", "closed"])
async def test_an_execution_that_ends_where_it_waits_for_its_place_reports_no_error(
    open_engine: OpenEngine, how: str
) -> None:
    stage, asked, errors = Stage(), Asked(), list[dict[str, Any]]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
    busy = version(lambda _ctx: stage.pause(), "busy")
    async with open_engine(asked.program, busy, max_concurrent_executions=1) as engine:
        ending = await engine.start(asked.program)
        promise = await asked.out.get()
        holding = await engine.start(busy)
        await stage.reached.wait()
        await engine.resolve(promise.id, promise.token, "yes")
        while not engine._roster._places._queue:
            await engine.parts.backend.probe()
        if how == "cancelled":
            await ending.cancel()
            with pytest.raises(ExecutionCancelled):
                await ending.result()
            stage.gate.set()
            await holding.result()
            assert await (await engine.start(busy)).result() is None
    gc.collect()
    await turns()
    assert not errors
