"""Leads from an execution to the one that continues it, and carries along what was sent to it.

What waits when an execution is continued goes along in that commit; see `continuing`. A signal that
was filed with it too late for that is filed with the latest one, under the same request id, unless
one on the way holds it in its journal: then it was received there, or handed on. So none is lost,
and none is received twice. Whoever is led on carries along first what waits on the way, all of it
and in order, so that nothing that is filed later overtakes it.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import Final

from durable_core.contracts.exchange import InboxRow
from durable_core.engine.insisting import insist
from durable_core.engine.parts import EngineParts
from durable_core.engine.signals import request_id_of, resealed, waiting_signals
from durable_core.engine.stored import read_all, reader_of, successor_of
from durable_core.errors import ConfigError, ExecutionNotFound, PayloadError
from durable_core.ids import ExecutionId
from durable_core.model.entries import EntryKind, JournalRow
from durable_core.model.execution import ExecutionRow
from durable_core.wire.waits import Signal

__all__ = ["Successions"]

_LOG: Final = logging.getLogger("durable_core.engine")
_KEPT: Final = 10_000


class Successions:
    """Follows continued executions for one engine. For any task of its event loop."""

    def __init__(self, parts: EngineParts) -> None:
        self._parts = parts
        self._known: dict[bytes, bytes] = {}
        """Of executions that were continued, and at which nothing waits, one that comes later."""

    async def latest(self, execution_id: ExecutionId) -> ExecutionRow:
        """The committed row of the last execution that continues this one, or its own.

        Signals that wait at the executions in between are carried along, unless a key is missing.
        `ExecutionNotFound` also where one on the way was pruned.
        """
        at = execution_id.bytes
        skipped: list[bytes] = []
        while at in self._known:
            skipped.append(at)
            at = self._known[at]
        passed: list[ExecutionRow] = []
        try:
            row = await self._walk(at, passed)
        except ConfigError as error:
            if not passed:
                raise
            _LOG.warning("signals to a continued execution wait for an engine: %s", error)
            return await self._end_of(passed[-1])
        for one in (*skipped, *(each.execution_id for each in passed)):
            self._note(one, row.execution_id)
        return row

    async def carry_on(self, execution_id: bytes) -> bool:
        """Carry along the signals that wait there; False where the execution was not continued.

        For who has just filed one, and for the owner. `ConfigError` without a key that is needed.
        """
        passed: list[ExecutionRow] = []
        await self._walk(execution_id, passed)
        return bool(passed)

    async def _walk(self, at: bytes, passed: list[ExecutionRow]) -> ExecutionRow:
        """The latest from here on; those that it continues are added to `passed`."""
        row = await self._load(at)
        while True:
            row = await self._end_of(row, passed)
            if not passed or not await self._carry(passed, row):
                return row
            # What was filed with it may have come too late for it as well.
            row = await self._load(row.execution_id)

    async def _end_of(
        self, row: ExecutionRow, passed: list[ExecutionRow] | None = None
    ) -> ExecutionRow:
        while (successor := await successor_of(self._parts, row)) is not None:
            if passed is not None:
                passed.append(row)
            row = await self._load(successor.bytes)
        return row

    async def _carry(self, passed: list[ExecutionRow], latest: ExecutionRow) -> bool:
        """File with `latest` what waits at those before it, one after the other; if anything does.

        They have all been continued when this looks, so that nobody who is led on misses any.
        """
        at = {row.execution_id: number for number, row in enumerate(passed)}
        signals = await waiting_signals(self._parts.backend)
        waiting = [request for request in signals if request.execution_id in at]
        if not waiting:
            return False
        held: set[bytes] = set()
        for row in (*passed[min(at[one.execution_id] for one in waiting) :], latest):
            held |= await self._held(row)
        for request in waiting:
            again = self._again(passed[at[request.execution_id]], request, held, latest)
            if again is not None:
                patience = self._parts.config.journal_ack_timeout_ms
                await insist(partial(self._parts.backend.post_inbox, again), patience)
            await self._parts.backend.remove_inbox(request.execution_id, request.slot)
        return True

    def _again(
        self, row: ExecutionRow, request: InboxRow, held: set[bytes], onto: ExecutionRow
    ) -> InboxRow | None:
        """The request as it is filed with `onto`; None where that has it, or nobody can read it."""
        try:
            if request_id_of(request) in held:
                return None
            return resealed(self._parts.wire, row, request, onto)
        except PayloadError as error:
            _LOG.warning("a request was refused: %s: %s", type(error).__name__, error)
            return None

    async def _held(self, row: ExecutionRow) -> set[bytes]:
        """The requests of the signals that its journal holds."""
        held: set[bytes] = set()

        def take(entry: JournalRow) -> None:
            if entry.entry_kind == EntryKind.PROMISE_RESOLVED:
                signal = Signal.find(entry.detail)
                held.update([signal.request_id] if signal is not None else [])

        await read_all(self._parts, reader_of(self._parts, row), take)
        return held

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
