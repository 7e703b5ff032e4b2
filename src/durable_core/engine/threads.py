"""The threads in which plain functions run. A thread cannot be cancelled, only waited for."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

__all__ = ["StepThreads"]

_LOG: Final = logging.getLogger("durable_core.engine")


class StepThreads:
    """At most `limit` threads. Used from the event loop's thread."""

    def __init__(self, limit: int) -> None:
        self._pool = ThreadPoolExecutor(limit, "durable-step")
        self._free = asyncio.Semaphore(limit)
        self._running: set[asyncio.Future[Any]] = set()

    async def begin(
        self,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        may_begin: Callable[[], bool],
    ) -> asyncio.Future[Any] | None:
        """Wait for a free thread, then run a plain function there, in a copy of this context.

        None, and nothing is called, if `may_begin` says no by then. Who is cancelled while waiting
        has not begun; cancelling the future is of no use.
        """
        await self._free.acquire()
        if not may_begin():
            self._free.release()
            return None
        context = contextvars.copy_context()
        future = asyncio.get_running_loop().run_in_executor(
            self._pool,
            lambda: context.run(_called, fn, args, kwargs),
        )
        self._running.add(future)
        future.add_done_callback(self._done)
        return future

    async def close(self, seconds: float) -> None:
        """Wait until every function has returned, at most `seconds`; late ones are reported."""
        if self._running:
            _, late = await asyncio.wait(set(self._running), timeout=seconds)
            if late:
                _LOG.warning(
                    "%d plain functions did not return within %g s and run on without an owner",
                    len(late),
                    seconds,
                )
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _done(self, future: asyncio.Future[Any]) -> None:
        self._running.discard(future)
        self._free.release()
        # Nobody may be left to ask when a function returns after its time limit.
        if not future.cancelled():
            future.exception()


def _called(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> object:
    try:
        return fn(*args, **kwargs)
    except StopIteration as error:
        # No future can hold one; a coroutine that raises it is answered in the same way.
        message = "a plain function raised StopIteration"
        raise RuntimeError(message) from error
