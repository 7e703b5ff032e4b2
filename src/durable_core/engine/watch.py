"""What an engine looks after in the background: orphans, requests, and old executions.

One supervised task. Opening an engine recovers; later rounds pick up executions whose owner dies
while this engine lives, journal what outsiders asked for, and prune by age.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from functools import partial
from typing import Final

from durable_core.contracts.exchange import InboxRow
from durable_core.engine.administration import Administration
from durable_core.engine.ownership import Ownership
from durable_core.engine.parts import EngineParts
from durable_core.engine.requests import CANCEL, read_settle, settle_step
from durable_core.engine.roster import Roster
from durable_core.errors import (
    ConfigError,
    DurableError,
    ExecutionError,
    ExecutionLocked,
    JournalUnavailable,
)
from durable_core.ids import ExecutionId
from durable_core.model.execution import ExecutionRow, Status
from durable_core.telemetry import SpanName

__all__ = ["Watch"]

_LOG: Final = logging.getLogger("durable_core.engine")
_INBOX_EVERY: Final = 0.2
_ORPHANS_EVERY: Final = 1.0
_RECOVERED_AT_ONCE: Final = 256
_PAGE: Final = 200


class Watch:
    """The background rounds of one engine."""

    def __init__(
        self,
        parts: EngineParts,
        roster: Roster,
        ownership: Ownership,
        administration: Administration,
    ) -> None:
        self._parts = parts
        self._roster = roster
        self._ownership = ownership
        self._administration = administration
        self._task: asyncio.Task[None] | None = None
        self._answering: dict[tuple[bytes, str], asyncio.Task[None]] = {}
        self._left: set[tuple[bytes, str]] = set()
        self._reported: set[str] = set()
        self._refused: set[bytes] = set()

    def start(self, *, recover: bool) -> None:
        """Begin the rounds; orphans are looked for only with `recover`."""
        self._task = asyncio.create_task(self._rounds(recover=recover), name="durable-watch")

    async def close(self) -> None:
        """Stop the rounds; requests that are not answered yet wait for the next owner."""
        if self._task is not None:
            tasks = {self._task, *self._answering.values()}
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def recover(self) -> None:
        """Claim and resume running executions of registered workflows whose owner is dead.

        At most 256 at once (or `max_concurrent_executions`); later rounds take the rest.
        Executions of workflows that are not registered are left alone and reported once.
        """
        limit = self._parts.config.max_concurrent_executions or _RECOVERED_AT_ONCE
        after: bytes | None = None
        while self._roster.load < limit:
            rows = await self._parts.backend.list_executions(
                statuses=(Status.RUNNING.label,),
                after=after,
                limit=_PAGE,
            )
            await self._adopt(rows, limit)
            if len(rows) < _PAGE:
                return
            after = rows[-1].execution_id

    async def _adopt(self, rows: list[ExecutionRow], limit: int) -> None:
        alive: dict[str, bool] = {}
        for row in rows:
            if self._roster.load >= limit:
                return
            if row.owner_id not in alive:
                alive[row.owner_id] = await self._ownership.held_elsewhere(row)
            if alive[row.owner_id] or not self._is_orphan(row):
                continue
            try:
                await self._administration.take_over(row)
            except ExecutionLocked:
                continue
            except JournalUnavailable as error:
                _LOG.info("execution %s is recovered later: %s", _id_of(row), error)
            except DurableError as error:
                self._refused.add(row.execution_id)
                _LOG.error(
                    "execution %s cannot be recovered: %s: %s",
                    _id_of(row),
                    type(error).__name__,
                    error,
                )

    def _is_orphan(self, row: ExecutionRow) -> bool:
        """Whether a row whose owner does not live elsewhere is to be run here.

        This engine's own are, where nothing here runs them: their start landed after its caller had
        given up, or the store failed under them and commits again.
        """
        if self._roster.busy(_id_of(row)) or row.execution_id in self._refused:
            return False
        if self._roster.find(row.workflow) is None:
            self._report(row)
            return False
        return self._roster.failure(row) is None

    def _report(self, row: ExecutionRow) -> None:
        if row.workflow not in self._reported:
            self._reported.add(row.workflow)
            _LOG.warning(
                "executions of workflow %r wait for an engine that registers it; it is not "
                "registered here",
                row.workflow,
            )

    async def _rounds(self, *, recover: bool) -> None:
        orphans_at = time.monotonic() + _ORPHANS_EVERY
        prune_at = time.monotonic() + self._parts.config.retention.prune_interval_secs
        while True:
            await asyncio.sleep(_INBOX_EVERY)
            try:
                await self._answer_inbox()
                if recover and time.monotonic() >= orphans_at:
                    orphans_at = time.monotonic() + _ORPHANS_EVERY
                    await self.recover()
                    await self._answer_for_the_dead()
                if time.monotonic() >= prune_at:
                    prune_at = time.monotonic() + self._parts.config.retention.prune_interval_secs
                    await self.prune()
            except JournalUnavailable as error:
                _LOG.debug("a background round met trouble and is repeated: %s", error)
            except Exception as error:  # noqa: BLE001 - one round must not end the others
                _LOG.error("a background round failed: %s", type(error).__name__)

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

    async def _answer_inbox(self) -> None:
        """Begin to answer every new request; one that takes long does not hold up the others."""
        for request in await self._parts.backend.read_inbox(self._parts.journal.owner_id):
            self._begin_to_answer(request)

    async def _answer_for_the_dead(self) -> None:
        """Begin to answer the requests that were filed with an owner that did not live to do it."""
        for request in await self._parts.backend.read_inbox():
            row = await self._parts.backend.load(request.execution_id)
            if row is not None and not await self._ownership.held_elsewhere(row):
                self._begin_to_answer(request)

    def _begin_to_answer(self, request: InboxRow) -> None:
        place = (request.execution_id, request.slot)
        if place not in self._answering and place not in self._left:
            task = asyncio.create_task(self._answer(request), name="durable-request")
            self._answering[place] = task
            task.add_done_callback(partial(self._answered, place))

    async def _answer(self, request: InboxRow) -> None:
        """Journal or refuse one request. Where the store fails, it stays for the next round."""
        try:
            await self._follow(request)
        except (ExecutionLocked, JournalUnavailable) as error:
            _LOG.debug("a request is answered later, or by another engine: %s", error)
            return
        except ConfigError as error:
            self._left.add((request.execution_id, request.slot))
            _LOG.warning("a request waits for an engine with its key: %s", error)
            return
        except ExecutionError as error:
            _LOG.info("a request to an execution was refused: %s", error)
        except DurableError as error:
            _LOG.warning("a request was refused: %s: %s", type(error).__name__, error)
        except Exception as error:  # noqa: BLE001 - one request must not end the others
            _LOG.error("a request could not be answered: %s", type(error).__name__)
        with suppress(JournalUnavailable):
            await self._parts.backend.remove_inbox(request.execution_id, request.slot)

    def _answered(self, place: tuple[bytes, str], _: asyncio.Task[None]) -> None:
        del self._answering[place]

    async def _follow(self, request: InboxRow) -> None:
        execution_id = ExecutionId(bytes=request.execution_id)
        if request.kind == CANCEL:
            await self._administration.cancel(execution_id)
            return
        row = await self._ownership.load(execution_id)
        payload = read_settle(self._parts, row, request)
        await self._administration.journal_settlement(execution_id, settle_step(request), payload)


def _id_of(row: ExecutionRow) -> ExecutionId:
    return ExecutionId(bytes=row.execution_id)
