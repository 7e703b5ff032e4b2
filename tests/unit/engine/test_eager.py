"""A task that is started at once is the current one from its first line, and ends as any other."""

from __future__ import annotations

import asyncio
import inspect
from contextvars import ContextVar
from typing import Any

import pytest

from durable_core import DurableContext, EffectClass, step, workflow
from durable_core.engine.eager import cancel_requests, start_at_once
from tests.engines import OpenEngine

MARK: ContextVar[str] = ContextVar("mark", default="the caller's")


async def test_what_waits_for_nothing_has_returned_already() -> None:
    tasks = []

    async def effect() -> int:
        MARK.set("the effect's")
        tasks.append(asyncio.current_task())
        return 7

    caller = asyncio.current_task()
    task, returned = start_at_once(effect(), "effect")
    assert returned == (7,)
    assert tasks == [task]
    assert task is not caller
    assert asyncio.current_task() is caller
    assert MARK.get() == "the caller's"
    assert await task == 7


async def test_what_waits_goes_on_in_the_same_task_and_context() -> None:
    tasks = []
    gate = asyncio.get_running_loop().create_future()

    async def effect() -> str:
        MARK.set("the effect's")
        tasks.append(asyncio.current_task())
        await gate
        tasks.append(asyncio.current_task())
        return MARK.get()

    task, returned = start_at_once(effect(), "effect")
    assert returned is None
    assert tasks == [task]
    gate.set_result(None)
    assert await task == "the effect's"
    assert tasks == [task, task]


async def test_a_time_limit_holds_on_to_the_task_of_the_effect() -> None:
    async def effect() -> str:
        try:
            async with asyncio.timeout(0.001):
                await asyncio.get_running_loop().create_future()
        except TimeoutError:
            return "cut off"
        return "not cut off"

    task, _ = start_at_once(effect(), "effect")
    assert await task == "cut off"


@pytest.mark.parametrize("waits", [False, True])
async def test_an_error_is_the_tasks(*, waits: bool) -> None:
    async def effect() -> None:
        if waits:
            await asyncio.sleep(0)
        raise LookupError

    task, returned = start_at_once(effect(), "effect")
    assert returned is None
    with pytest.raises(LookupError):
        await task


async def test_a_cancellation_before_the_next_turn_reaches_what_is_waited_for() -> None:
    seen = []
    inner = asyncio.get_running_loop().create_future()

    async def effect() -> None:
        try:
            await inner
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    task, _ = start_at_once(effect(), "effect")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["cancelled"]
    assert inner.cancelled()


async def test_a_cancellation_after_the_end_changes_nothing() -> None:
    async def effect() -> int:
        return 7

    task, returned = start_at_once(effect(), "effect")
    task.cancel()
    assert returned == (7,)
    assert await task == 7


def test_a_callback_of_the_loop_starts_a_task_as_well() -> None:
    loop = asyncio.new_event_loop()
    current: list[object] = []

    async def effect() -> None:
        current.append(asyncio.current_task())
        await asyncio.sleep(0)
        current.append(asyncio.current_task())
        loop.stop()

    def start() -> None:
        task, _ = start_at_once(effect(), "effect")
        current.extend((asyncio.current_task(loop), task))

    loop.call_soon(start)
    loop.run_forever()
    loop.close()
    begun, behind, task, went_on = current
    assert begun is went_on is task
    assert behind is None


async def test_what_waits_for_nothing_and_asks_for_no_task_gets_none() -> None:
    before = asyncio.all_tasks()

    async def effect() -> int:
        return 7

    task, returned = start_at_once(effect(), "effect")
    assert returned == (7,)
    assert asyncio.all_tasks() == before, "the loop has no turn to take for it"
    assert task.get_name() == "effect"
    assert asyncio.all_tasks() == {*before, task}, "made when it was looked at"
    assert await task == 7


async def test_a_task_that_is_looked_at_is_made_before_it_is_seen() -> None:
    seen: list[object] = []

    async def effect() -> str:
        task = asyncio.current_task()
        assert task is not None
        seen.append(isinstance(task, asyncio.Task))
        seen.append(task.get_name())
        seen.append(task.cancelling())
        seen.append(repr(task).count("effect"))
        task.add_done_callback(lambda done: seen.append(done.result()))
        return "done"

    task, returned = start_at_once(effect(), "effect")
    assert returned == ("done",)
    assert await task == "done"
    assert seen[:3] == [True, "effect", 0]
    assert seen[3]
    await asyncio.sleep(0)
    assert seen[4:] == ["done"]


async def test_a_task_can_be_iterated_over_by_the_code_inside() -> None:
    async def effect() -> bool:
        task = asyncio.current_task()
        assert task is not None
        return hasattr(iter(task), "send")

    _, returned = start_at_once(effect(), "effect")
    assert returned == (True,)


async def test_what_a_task_runs_is_seen_as_its_coroutine_is() -> None:
    gate = asyncio.get_running_loop().create_future()
    states: list[str] = []

    def look(task: asyncio.Task[Any] | None) -> None:
        assert task is not None
        coroutine: Any = task.get_coro()
        assert coroutine.cr_code is effect.__code__
        assert coroutine.cr_origin is None
        states.append(inspect.getcoroutinestate(coroutine))

    async def effect() -> None:
        look(asyncio.current_task())
        await gate

    task, _ = start_at_once(effect(), "effect")
    look(task)
    waiting: Any = task.get_coro()
    assert waiting.cr_await is not None
    assert [frame.f_code for frame in task.get_stack()] == [effect.__code__]
    assert "coro=<effect() running at" in repr(task)
    gate.set_result(None)
    await task
    look(task)
    assert states == [inspect.CORO_RUNNING, inspect.CORO_SUSPENDED, inspect.CORO_CLOSED]


async def test_asking_for_cancel_requests_makes_no_task() -> None:
    before = asyncio.all_tasks()

    async def effect() -> int:
        return cancel_requests(asyncio.current_task())

    _, returned = start_at_once(effect(), "effect")
    assert returned == (0,)
    assert asyncio.all_tasks() == before


async def test_cancel_requests_are_those_of_the_task() -> None:
    async def effect() -> int:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        return cancel_requests(task)

    task, returned = start_at_once(effect(), "effect")
    assert returned == (1,)
    assert cancel_requests(task) == 1
    assert cancel_requests(None) == 0
    assert await task == 1


async def test_a_guarded_function_that_waits_for_nothing_runs_without_a_task(
    open_engine: OpenEngine,
) -> None:
    @step(effect=EffectClass.EXACTLY_ONCE_GUARDED)
    async def charge() -> list[str]:
        return [task.get_name() for task in asyncio.all_tasks()]

    @workflow
    async def program(ctx: DurableContext) -> list[str]:
        return [*await ctx.step(charge), *await ctx.step(charge)]

    async with open_engine(program) as engine:
        names = await engine.run(program)
    assert any(name.startswith("durable-workflow-") for name in names)
    assert not any(name.startswith("durable-effect-") for name in names)
