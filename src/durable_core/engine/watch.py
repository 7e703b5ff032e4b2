"""What an engine looks after in the background: orphans and requests.

One supervised task. Opening an engine recovers; later rounds pick up executions whose owner dies
while this engine lives, and journal what outsiders asked for. A backend that notifies wakes it; a
round comes after a while in any case.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Final

from durable_core.engine.inbox import Inbox
from durable_core.engine.parts import EngineParts
from durable_core.engine.recovery import Recovery
from durable_core.errors import JournalUnavailable

__all__ = ["Watch"]

_LOG: Final = logging.getLogger("durable_core.engine")
_ORPHANS_EVERY: Final = 1.0
_POLL_EVERY: Final = 0.2
_GATHER: Final = 0.01
"""How long freed places and notices are gathered behind a round, for one round for all of them."""


class Watch:
    """The background rounds of one engine."""

    def __init__(self, parts: EngineParts, recovery: Recovery, inbox: Inbox) -> None:
        self._parts = parts
        self._recovery = recovery
        self._inbox = inbox
        self._notifies = parts.backend.capabilities.notifies
        self._task: asyncio.Task[None] | None = None
        self._polls_at = 0.0
        self._looks_at = 0.0

    def start(self, *, recover: bool) -> None:
        """Begin the rounds; the dead are looked for, and answered for, only with `recover`."""
        self._looks_at = time.monotonic() + _ORPHANS_EVERY
        self._task = asyncio.create_task(self._rounds(recover=recover), name="durable-watch")

    async def close(self) -> None:
        """Stop the rounds; requests that are not answered yet wait for the next owner."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        await self._inbox.close()

    async def _rounds(self, *, recover: bool) -> None:
        every = _ORPHANS_EVERY if self._notifies else _POLL_EVERY
        while True:
            await self._parts.notices.work(every)
            try:
                await self._round(every, recover=recover)
            except JournalUnavailable as error:
                _LOG.debug("a background round met trouble and is repeated: %s", error)
            except Exception as error:  # noqa: BLE001 - one round must not end the others
                _LOG.error("a background round failed: %s", type(error).__name__)
            await asyncio.sleep(_GATHER)

    async def _round(self, every: float, *, recover: bool) -> None:
        now = time.monotonic()
        notices = self._parts.notices
        polls = now >= self._polls_at
        if polls:
            self._polls_at = now + every
        if notices.take_requested() or polls:
            await self._inbox.answer()
        if notices.take_waiting() or (polls and self._recovery.claims and not self._notifies):
            await self._recovery.claim_waiting()
        if now >= self._looks_at:
            self._looks_at = now + _ORPHANS_EVERY
            await self._recovery.look()
            if recover:
                await self._inbox.answer_for_the_dead()
