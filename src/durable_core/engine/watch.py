"""What an engine looks after in the background: orphans, requests, and old executions.

One supervised task. Opening an engine recovers; later rounds pick up executions whose owner dies
while this engine lives, journal what outsiders asked for, and prune by age. A backend that notifies
wakes it; a round comes after a while in any case.
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
from durable_core.telemetry import SpanName

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
        self._pruning: asyncio.Task[None] | None = None
        self._polls_at = 0.0
        self._looks_at = 0.0
        self._prunes_at = 0.0

    def start(self, *, recover: bool) -> None:
        """Begin the rounds; the dead are looked for, and answered for, only with `recover`."""
        self._looks_at = time.monotonic() + _ORPHANS_EVERY
        self._prunes_at = time.monotonic() + self._parts.config.retention.prune_interval_secs
        self._task = asyncio.create_task(self._rounds(recover=recover), name="durable-watch")

    async def close(self) -> None:
        """Stop the rounds; requests that are not answered yet wait for the next owner."""
        for task in (self._task, self._pruning):
            if task is not None:
                task.cancel()
                await asyncio.wait({task})
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
        if now >= self._prunes_at:
            self._prunes_at = now + self._parts.config.retention.prune_interval_secs
            if self._pruning is None or self._pruning.done():
                # Beside the rounds: what waits for an engine must not wait for a long delete.
                self._pruning = asyncio.create_task(self._prune(), name="durable-prune")

    async def _prune(self) -> None:
        try:
            await self.prune()
        except JournalUnavailable as error:
            _LOG.debug("pruning met trouble and is repeated: %s", error)
        except Exception as error:  # noqa: BLE001 - pruning must not end the rounds
            _LOG.error("pruning failed: %s", type(error).__name__)

    async def prune(self) -> int:
        """Delete terminal executions past their TTL, batch by batch; how many were deleted."""
        retention = self._parts.config.retention
        now = self._parts.clock.now_ms()
        deleted = 0
        while True:
            with self._parts.tracing.span(SpanName.JOURNAL_PRUNE, {}):
                report = await self._parts.backend.journal.prune(
                    completed_before=now - retention.ttl_completed_secs * 1000,
                    failed_before=now - retention.ttl_failed_secs * 1000,
                    limit=retention.prune_batch_size,
                )
            deleted += report.executions
            if report.executions < retention.prune_batch_size:
                return deleted
            await asyncio.sleep(0)
