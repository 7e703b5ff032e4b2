"""What stands between a workflow's coroutine and its task: closes it, or drops what it returns."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from durable_core.engine.drive import Drive, RunEnded


class Ends:
    """Says that the run has ended from the moment when it is told."""

    def __init__(self) -> None:
        self.over = False
        self.seen: list[str] = []

    def drive(self, coroutine: Coroutine[Any, Any, str]) -> Drive[str]:
        return Drive(coroutine, lambda: self.over)


async def test_a_run_that_goes_on_returns_and_raises_as_its_coroutine_does() -> None:
    run = Ends()

    async def returns() -> str:
        await asyncio.sleep(0)
        return "value"

    async def raises() -> str:
        await asyncio.sleep(0)
        raise KeyError

    assert await run.drive(returns()) == "value"
    with pytest.raises(KeyError):
        await run.drive(raises())


async def test_a_value_returned_after_the_end_is_dropped() -> None:
    run = Ends()

    async def returns() -> str:
        run.over = True
        return "value"

    with pytest.raises(RunEnded):
        await run.drive(returns())


async def test_an_error_raised_after_the_end_is_dropped() -> None:
    run = Ends()

    async def raises() -> str:
        run.over = True
        raise KeyError

    with pytest.raises(RunEnded):
        await run.drive(raises())


@pytest.mark.parametrize("when", ["before it waits", "while it waits"])
async def test_a_coroutine_that_waits_is_closed_and_not_resumed(when: str) -> None:
    run, never = Ends(), asyncio.Event()

    def end() -> None:
        run.over = True

    async def waits() -> str:
        if when == "before it waits":
            end()
        try:
            await (never.wait() if run.over else asyncio.sleep(0))
        except GeneratorExit:
            run.seen.append("closed")
            raise
        except asyncio.CancelledError:
            run.seen.append("cancelled")
            raise
        run.seen.append("resumed")
        return "value"

    async def driving() -> str:
        return await run.drive(waits())

    task = asyncio.create_task(driving())
    asyncio.get_running_loop().call_soon(end)
    done, _ = await asyncio.wait({task}, timeout=10)
    assert done, "it waits for what will never come"
    with pytest.raises(RunEnded):
        task.result()
    assert run.seen == ["closed"]


async def test_a_cancellation_after_the_end_closes_the_coroutine() -> None:
    run = Ends()

    async def waits() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            run.seen.append("cancelled")
        return "value"

    async def driving() -> str:
        return await run.drive(waits())

    task = asyncio.create_task(driving())
    await asyncio.sleep(0)
    run.over = True
    task.cancel()
    with pytest.raises(RunEnded):
        await task
    assert run.seen == []
