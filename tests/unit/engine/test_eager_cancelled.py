"""A task that was started at once is cancelled as one of asyncio's own is that waits already.

Each test runs with both kinds of task.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from durable_core.engine.eager import start_at_once
from tests.holding import turns

Start = Callable[[Coroutine[Any, Any, Any]], Coroutine[Any, Any, asyncio.Task[Any]]]


async def _by_asyncio(work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    task = asyncio.create_task(work)
    await turns(1)
    return task


async def _at_once(work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    task, returned = start_at_once(work, "work")
    assert returned is None
    return task


@pytest.fixture(params=[_by_asyncio, _at_once])
def start(request: pytest.FixtureRequest) -> Start:
    """Returns the task of a coroutine that waits."""
    chosen: Start = request.param
    return chosen


class Refusing(asyncio.Future[str]):
    """Cannot be cancelled."""

    def cancel(self, msg: object = None) -> bool:  # noqa: ARG002
        return False


class Inner:
    """A task that, when it is cancelled, cleans up until the gate opens, and ends with `error`."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.gate = asyncio.Event()
        self.error = error
        self.told: list[object] = []
        self.task = asyncio.create_task(self._work())

    async def _work(self) -> str:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError as cancelled:
            self.told.append(cancelled.args)
            await self.gate.wait()
            if self.error is None:
                raise
            raise self.error from None
        return "never"


async def test_what_is_cancelled_with_it_cleans_up_before(start: Start) -> None:
    inner = Inner()
    await turns(1)
    seen: list[object] = []

    async def outer() -> None:
        try:
            await inner.task
        except asyncio.CancelledError as error:
            seen.append((inner.task.done(), error.args))
            raise

    task = await start(outer())
    task.cancel("enough")
    await turns()
    assert inner.told == [("enough",)]
    assert not seen
    inner.gate.set()
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    assert seen == [(True, ("enough",))]
    assert caught.value.args == ("enough",)
    assert task.cancelling() == 1


async def test_one_that_cancels_itself_does_so_where_it_waits(start: Start) -> None:
    inner = Inner()
    await turns(1)
    seen: list[object] = []

    async def outer() -> None:
        own = asyncio.current_task()
        assert own is not None
        own.cancel()
        try:
            await inner.task
        except asyncio.CancelledError:
            seen.append((inner.task.done(), own.cancelling(), own.uncancel()))

    task = await start(outer())
    await turns()
    assert not seen
    inner.gate.set()
    await task
    assert seen == [(True, 1, 0)]
    assert not task.cancelled()


async def test_an_error_in_place_of_the_cancellation_is_what_it_sees(start: Start) -> None:
    inner = Inner(LookupError())
    await turns(1)

    async def outer() -> str:
        try:
            return await inner.task
        except LookupError:
            return "the error"

    task = await start(outer())
    task.cancel()
    inner.gate.set()
    assert await task == "the error"
    assert task.cancelling() == 1


@pytest.mark.parametrize("error", [None, LookupError(), asyncio.CancelledError("its own")])
async def test_what_cannot_be_cancelled_is_waited_for(
    start: Start, error: BaseException | None
) -> None:
    refusing, seen = Refusing(), list[object]()

    async def outer() -> str:
        try:
            await refusing
        except asyncio.CancelledError as cancelled:
            seen.append(cancelled.args)
        return await asyncio.sleep(0, "went on")

    task = await start(outer())
    task.cancel("enough")
    await turns()
    assert not seen
    if error is None:
        refusing.set_result("done")
    else:
        refusing.set_exception(error)
    assert await task == "went on"
    assert seen == [("its own",) if isinstance(error, asyncio.CancelledError) else ("enough",)]


async def test_what_was_done_by_then_is_not_waited_for(start: Start) -> None:
    done = asyncio.get_running_loop().create_future()

    async def outer() -> None:
        await done

    task = await start(outer())
    done.set_result(None)
    task.cancel("enough")
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    assert caught.value.args == ("enough",)


async def test_a_wait_for_the_next_turn_is_cut_off(start: Start) -> None:
    async def outer() -> None:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await asyncio.get_running_loop().create_future()

    task = await start(outer())
    task.cancel("enough")
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    assert caught.value.args == ("enough",)
