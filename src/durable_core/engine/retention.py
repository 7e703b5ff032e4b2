"""Deletes what has ended and is too old or too much: in the background, and when it is told to.

Never on the way of a commit for longer than a batch: what is chosen goes in transactions of a
bounded number of rows, and between two of them it rests a multiple of what the first one took.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import Final, TypeVar

from attrs import frozen

from durable_core.engine.choosing import Choice, chosen, horizon_of
from durable_core.engine.insisting import insist
from durable_core.engine.parts import EngineParts
from durable_core.errors import JournalUnavailable
from durable_core.telemetry import SpanName

__all__ = ["Retention", "RetentionReport"]

T = TypeVar("T")

_LOG: Final = logging.getLogger("durable_core.engine")
_REST: Final = 4
"""Of the time that others could write, pruning takes a fifth."""

_LONGEST_REST_S: Final = 1.0
_AGAIN_S: Final = 60
"""When a background run that met trouble is repeated, where the interval is longer."""


@frozen
class RetentionReport:
    """What was deleted, or with a dry run would be, the first to end first."""

    dry_run: bool
    executions: tuple[Choice, ...]

    @property
    def entries(self) -> int:
        """How many entries they had."""
        return sum(choice.row.entries for choice in self.executions)

    @property
    def size(self) -> int:
        """The bytes that they counted for under `max_journal_bytes`."""
        return sum(choice.size for choice in self.executions)


class Retention:
    """The pruning of one engine. Several on one database share the work, and delete no more."""

    def __init__(self, parts: EngineParts) -> None:
        self._parts = parts
        self._settings = parts.config.retention
        self._patience_ms = parts.config.journal_ack_timeout_ms
        self._turn = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin the rounds, the first one after an interval."""
        self._task = asyncio.create_task(self._rounds(), name="durable-retention")

    async def close(self) -> None:
        """Stop the rounds; a batch that is under way is deleted as a whole or not at all."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def prune(self, *, dry_run: bool = False) -> RetentionReport:
        """See `DurableEngine.prune`. One run at a time."""
        async with self._turn:
            choices = [choice async for choice in self._run(dry_run=dry_run)]
        return RetentionReport(dry_run, tuple(choices))

    async def _rounds(self) -> None:
        wait = self._settings.prune_interval_secs
        while True:
            await asyncio.sleep(wait)
            wait = self._settings.prune_interval_secs
            try:
                await self._round()
            except JournalUnavailable as error:
                _LOG.warning("pruning met trouble and is repeated: %s", error)
                wait = min(wait, _AGAIN_S)
            except Exception as error:  # noqa: BLE001 - one run must not end the others
                _LOG.error("pruning failed: %s", type(error).__name__)

    async def _round(self) -> None:
        """A run that forgets what it deletes: there may be much of it."""
        deleted = 0
        async with self._turn:
            async for _ in self._run(dry_run=False):
                deleted += 1
        if deleted:
            _LOG.info("retention deleted %d executions", deleted)

    async def _run(self, *, dry_run: bool) -> AsyncIterator[Choice]:
        """What goes, when it has gone."""
        backend = self._parts.backend
        with self._parts.tracing.span(SpanName.JOURNAL_PRUNE, {}):
            horizon = await horizon_of(backend, self._settings, self._parts.clock.now_ms())
        most = self._settings.prune_batch_size
        async with (
            aclosing(chosen(backend, horizon)) as going,
            aclosing(_batches(going, most)) as batches,
        ):
            async for batch in batches:
                gone = batch if dry_run else await _rested(partial(self._delete, batch))
                for choice in gone:
                    yield choice
        while not dry_run and await _rested(self._reclaim):
            pass

    async def _delete(self, batch: list[Choice]) -> list[Choice]:
        """Those of the batch that went; after an answer that was lost, that are not there now."""
        backend = self._parts.backend
        rows = [choice.row for choice in batch]
        with self._parts.tracing.span(SpanName.JOURNAL_PRUNE, {}):
            gone, unseen = await insist(lambda: backend.journal.prune(rows), self._patience_ms)
        if unseen:
            ids = [row.execution_id for row in rows]
            gone |= {one for one in ids if await backend.load(one) is None}
        return [choice for choice in batch if choice.row.execution_id in gone]

    async def _reclaim(self) -> bool:
        more, _ = await insist(self._parts.backend.journal.reclaim, self._patience_ms)
        return more


async def _batches(choices: AsyncIterator[Choice], most: int) -> AsyncGenerator[list[Choice], None]:
    """Choices that have at most `most` rows together, or one that alone has more."""
    batch: list[Choice] = []
    rows = 0
    async for choice in choices:
        own = choice.row.entries + 1
        if batch and rows + own > most:
            yield batch
            batch, rows = [], 0
        batch.append(choice)
        rows += own
    if batch:
        yield batch


async def _rested(work: Callable[[], Awaitable[T]]) -> T:
    """What `work` returns, after a rest of several times what it took."""
    began = time.monotonic()
    answer = await work()
    await asyncio.sleep(min(_LONGEST_REST_S, _REST * (time.monotonic() - began)))
    return answer
