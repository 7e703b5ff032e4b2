"""Who waits in this engine for what other engines commit, and how a notice wakes them.

A notice is a hint that may be lost, so everybody who waits here also looks again after a while.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from durable_core.contracts.exchange import Notice, NoticeKind

__all__ = ["Notices"]


class Notices:
    """The waiters of one engine. Used by the event loop's thread alone."""

    def __init__(self) -> None:
        self._ended: dict[bytes, list[asyncio.Event]] = {}
        self._work = asyncio.Event()
        self._requested = False
        self._waiting = False
        self.backlog = False
        """Whether this engine has no room for executions that may be waiting for one."""

    def hear(self, notice: Notice) -> None:
        """Wake whoever waits for that; called by the backend and by this engine itself."""
        match notice.kind:
            case NoticeKind.ENDED:
                for event in self._ended.get(notice.execution_id, ()):
                    event.set()
            case NoticeKind.REQUEST:
                self._requested = True
                self._work.set()
            case NoticeKind.WAITING:
                self._waiting = True
                self._work.set()

    def freed(self) -> None:
        """An execution ended here, or only waits now, so that there is room for another one."""
        if self.backlog:
            self._waiting = True
            self._work.set()

    @contextmanager
    def of_the_end(self, execution_id: bytes) -> Iterator[asyncio.Event]:
        """An event that is set when the execution is said to have ended, from now on.

        Taken before the look at the stored row, so that no end falls between the two.
        """
        event = asyncio.Event()
        waiters = self._ended.setdefault(execution_id, [])
        waiters.append(event)
        try:
            yield event
        finally:
            waiters.remove(event)
            if not waiters:
                self._ended.pop(execution_id, None)

    async def work(self, seconds: float) -> None:
        """Wait until there is something to do for this engine, at most that long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._work.wait()
        self._work.clear()

    def take_requested(self) -> bool:
        """Whether a request was filed since this was asked last."""
        requested, self._requested = self._requested, False
        return requested

    def take_waiting(self) -> bool:
        """Whether an execution began to wait for an engine since this was asked last."""
        waiting, self._waiting = self._waiting, False
        return waiting
