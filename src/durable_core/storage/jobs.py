"""Work that is carried to its end, also when whoever asked for it does not wait any more."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from durable_core.storage.refusals import closed

__all__ = ["Jobs"]

T = TypeVar("T")


class Jobs:
    """What was handed over and has not ended. `place` is what messages call the database."""

    def __init__(self, place: str) -> None:
        self._place = place
        self._running: set[asyncio.Future[Any]] = set()
        self._closed = False

    async def run(self, job: Callable[[], Awaitable[T]]) -> T:
        """What `job` returns; it goes on where the caller is cancelled."""
        if self._closed:
            raise closed(self._place)
        task = asyncio.ensure_future(job())
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        task.add_done_callback(_seen)
        return await asyncio.shield(task)

    async def finish(self, within_s: float, cut: Callable[[], None]) -> None:
        """Take no more, and wait for what runs; `cut` is called for what is not done in time."""
        self._closed = True
        if self._running and (await asyncio.wait(self._running, timeout=within_s))[1]:
            cut()
        while self._running:
            await asyncio.wait(self._running)


def _seen(task: asyncio.Future[T]) -> None:
    """A caller that was cancelled does not ask for the error of its job."""
    if not task.cancelled():
        task.exception()
