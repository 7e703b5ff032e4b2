"""Leads from an execution to the one that continues it, and carries along what was sent to it.

A signal that was filed with an execution which has been continued is filed again with the latest
one, under the same request id. Each execution on the way is looked at before: what its journal
holds was received there, or handed on with it. So none is lost, and none is received twice. And it
is filed again before anybody who was led on files something behind it, so the order stays.
"""

from __future__ import annotations

import logging
from typing import Final

from durable_core.contracts.exchange import InboxRow
from durable_core.engine.insisting import insist
from durable_core.engine.messages import SIGNAL, request_id_of, resealed
from durable_core.engine.parts import EngineParts
from durable_core.engine.stored import read_all, reader_of, successor_of
from durable_core.engine.takeover import require_not_terminal
from durable_core.errors import ConfigError, ExecutionNotFound
from durable_core.ids import ExecutionId
from durable_core.model.entries import EntryKind, JournalRow
from durable_core.model.execution import ExecutionRow
from durable_core.wire.waits import Signal

__all__ = ["Successions"]

_LOG: Final = logging.getLogger("durable_core.engine")
_KEPT: Final = 10_000
_EVERYTHING: Final = 10_000


class Successions:
    """Follows continued executions for one engine. For any task of its event loop."""

    def __init__(self, parts: EngineParts) -> None:
        self._parts = parts
        self._known: dict[bytes, bytes] = {}
        """Of executions that were continued, one that comes later: it needs no look any more."""

    async def latest(self, execution_id: ExecutionId) -> ExecutionRow:
        """The committed row of the last execution that continues this one, or its own.

        Signals that wait at the executions in between are carried along first.
        `ExecutionNotFound` also where one on the way was pruned.
        """
        at = execution_id.bytes
        skipped: list[bytes] = []
        passed: list[bytes] = []
        while at in self._known:
            skipped.append(at)
            at = self._known[at]
        row = await self._load(at)
        while (successor := await successor_of(self._parts, row)) is not None:
            passed.append(row.execution_id)
            row = await self._load(successor.bytes)
        if passed and await self._carry_along(passed):
            for one in (*skipped, *passed):
                self._note(one, row.execution_id)
        return row

    async def move(self, request: InboxRow) -> bool:
        """Take a signal to the latest execution; whether it has no business where it was filed.

        False where that execution was not continued. `ExecutionTerminal` where the latest one has
        ended.
        """
        row = first = await self._load(request.execution_id)
        while (successor := await successor_of(self._parts, row)) is not None:
            if await self._holds(row, request_id_of(request)):
                return True
            row = await self._load(successor.bytes)
        if row is first:
            return False
        require_not_terminal(row)
        again = resealed(self._parts.wire, first, request, row)
        patience = self._parts.config.journal_ack_timeout_ms
        await insist(lambda: self._parts.backend.post_inbox(again), patience)
        return True

    async def settle(self, request: InboxRow) -> None:
        """A signal was filed: where its execution was continued meanwhile, take it along."""
        if await self.move(request):
            await self._parts.backend.remove_inbox(request.execution_id, request.slot)

    async def _carry_along(self, passed: list[bytes]) -> bool:
        """Move the signals that wait at these executions; False where a key is missing for that."""
        waiting = [
            request
            for request in await self._parts.backend.read_inbox(limit=_EVERYTHING)
            if request.kind == SIGNAL and request.execution_id in passed
        ]
        for request in sorted(waiting, key=lambda one: one.slot):
            try:
                await self.settle(request)
            except ConfigError as error:
                _LOG.warning("a request waits for an engine with its key: %s", error)
                return False
        return True

    async def _holds(self, row: ExecutionRow, request_id: bytes) -> bool:
        found: list[bytes] = []

        def take(entry: JournalRow) -> None:
            if entry.entry_kind == EntryKind.PROMISE_RESOLVED:
                signal = Signal.find(entry.detail)
                found.extend([signal.request_id] if signal is not None else [])

        await read_all(self._parts, reader_of(self._parts, row), take)
        return request_id in found

    async def _load(self, execution_id: bytes) -> ExecutionRow:
        row = await self._parts.backend.load(execution_id)
        if row is None:
            message = f"no execution {ExecutionId(bytes=execution_id)} in this journal"
            raise ExecutionNotFound(message)
        return row

    def _note(self, one: bytes, later: bytes) -> None:
        while len(self._known) >= _KEPT:
            self._known.pop(next(iter(self._known)))
        self._known[one] = later
