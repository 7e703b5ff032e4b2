"""Executions that wait for a promise each, and when each of them went on."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from attrs import define, field

from durable_core import DurableContext, DurableEngine, DurablePromise, ExecutionHandle, workflow
from durable_core.engine.definition import Workflow
from durable_core.ids import PromiseId

__all__ = ["VALUE", "Parked"]

VALUE: Final = 7
_TOGETHER: Final = 500


@define
class Parked:
    """Those of one engine. `workflow` is what its engine has to register."""

    workflow: Workflow[[], int] = field(init=False)
    _made: list[DurablePromise[int]] = field(factory=list)
    _arrived: asyncio.Event = field(factory=asyncio.Event)
    _woken: dict[PromiseId, asyncio.Future[float]] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        self.workflow = _program(self)

    async def more(self, engine: DurableEngine, count: int) -> list[ExecutionHandle[int]]:
        """Start that many, and return when all of them wait."""
        wanted = len(self._made) + count
        handles: list[ExecutionHandle[int]] = []
        for begun in range(0, count, _TOGETHER):
            starts = [engine.start(self.workflow) for _ in range(min(_TOGETHER, count - begun))]
            handles += await asyncio.gather(*starts)
        while len(self._made) < wanted:
            self._arrived.clear()
            await self._arrived.wait()
        await engine.flush()
        return handles

    def take(self) -> DurablePromise[int]:
        """One of the promises that somebody waits for, the latest first."""
        return self._made.pop()

    async def woken(self, promise: DurablePromise[int]) -> float:
        """When, by the monotonic clock, its workflow had the value."""
        return await self._future(promise)

    def note_waits(self, promise: DurablePromise[int]) -> None:
        """Its workflow is about to wait."""
        self._made.append(promise)
        self._arrived.set()

    def note_woken(self, promise: DurablePromise[int]) -> None:
        """Its workflow has the value."""
        self._future(promise).set_result(time.monotonic())

    def _future(self, promise: DurablePromise[int]) -> asyncio.Future[float]:
        return self._woken.setdefault(promise.id, asyncio.get_running_loop().create_future())


def _program(parked: Parked) -> Workflow[[], int]:
    @workflow(name="parked")
    async def wait(ctx: DurableContext) -> int:
        promise = await ctx.promise(int, name="word")
        parked.note_waits(promise)
        value = await ctx.await_promise(promise)
        parked.note_woken(promise)
        return value

    return wait
