"""What callers of the writer hold: begin, attach, append, flush. Usable without any workflow."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from types import TracebackType
from typing import Self, cast

from durable_core.errors import ExecutionNotFound, JournalUnavailable
from durable_core.ids import ExecutionId, JournalSeq
from durable_core.journal.admission import check_text
from durable_core.journal.deadlines import Deadlines
from durable_core.journal.lane import Lane
from durable_core.journal.settings import Health, WriterHealth
from durable_core.journal.writer import JournalWriter
from durable_core.model.entries import Entry, ExecutionStarted
from durable_core.model.execution import ExecutionRow, check_kind

__all__ = ["JournalWriterHandle"]


class JournalWriterHandle:
    """Appends to the journal of one backend. For any task of the event loop that opened it.

    `async with JournalWriterHandle(JournalWriter(backend, wire), owner_id)` starts and closes the
    writer. An execution is written after `begin` (a new one) or `attach` (a claimed one).
    """

    def __init__(self, writer: JournalWriter, owner_id: str) -> None:
        self.writer = writer
        self.owner_id = owner_id
        self._lanes: dict[int, Lane] = {}
        """By the integers of the executions' ids: a UUID is hashed by a call of its own."""

        self._deadlines = Deadlines(writer.settings.ack_timeout_ms)

    async def __aenter__(self) -> Self:
        await self.writer.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def new_lane(
        self,
        execution_id: ExecutionId,
        workflow: str,
        *,
        key: str | None = None,
        kind: str = "workflow",
        sealed: bool = True,
        owner_id: str | None = None,
    ) -> Lane:
        """The lane of an execution that does not exist yet; its first batch creates it.

        Its owner is this handle's, or `owner_id`, for which nothing but the start is appended.
        Sealed and stamped by the current key, which its MACs keep for life. `EntryRejected` for a
        workflow or key that is no text.
        """
        check_text("workflow", workflow)
        check_text("key", key)
        now = self.writer.clock.now_ms()
        key_id = self.writer.wire.keyring.current
        # A named tuple has a `__new__` of its own, which takes longer than the tuple itself.
        row: ExecutionRow = tuple.__new__(
            ExecutionRow,
            (
                execution_id.bytes,
                workflow,
                key,
                check_kind(kind),
                "running",
                0,
                key_id,
                sealed and key_id is not None,
                key_id is not None,
                self.owner_id if owner_id is None else owner_id,
                1,
                0,
                None,
                None,
                now,
                now,
                None,
            ),
        )
        lane = Lane.of(execution_id, row, self.writer.wire.envelope(row), stored=False)
        self._lanes[execution_id.int] = lane
        return lane

    async def begin(
        self,
        execution_id: ExecutionId,
        workflow: str,
        payload: bytes,
        *,
        key: str | None = None,
        kind: str = "workflow",
        sealed: bool = True,
    ) -> JournalSeq:
        """Create an execution with its `execution_started` entry; durable at return.

        `KeyTaken` if `key` names another execution of the workflow; otherwise as `append_acked`.
        """
        self.new_lane(execution_id, workflow, key=key, kind=kind, sealed=sealed)
        return await self.append_acked(ExecutionStarted(execution_id, 0, payload))

    def attach(self, row: ExecutionRow) -> Lane:
        """Go on with an execution that this owner has claimed.

        `IntegrityError` if the row does not match its anchor, `ConfigError` if its key is missing.
        """
        execution_id = ExecutionId(bytes=row.execution_id)
        lane = Lane.of(execution_id, row, self.writer.wire.verified(row), stored=True)
        self._lanes[execution_id.int] = lane
        return lane

    def detach(self, execution_id: ExecutionId) -> None:
        """Forget an execution; entries that were accepted are still committed."""
        self._lanes.pop(execution_id.int, None)

    def append_buffered(self, entry: Entry) -> bool:
        """Queue `entry` for the next group commit; never waits.

        True: accepted; a commit of it begins, in order, with the next acknowledged entry, a flush
        or close, and at the latest after the flush interval. Where that fails the next flush says
        so, or close. False: refused, since the queue is full, the store is down or the writer is
        closed; nothing will be written. Raises `UnsupportedEntryKind`, `EntryRejected` for a
        field that no row can hold, `ConfigError` for a promise of an execution without a key,
        `PayloadTooLarge`, `ExecutionTerminal`, `JournalError` for a generation that is not the
        running one, what an earlier entry of the execution failed with, and `ExecutionNotFound`
        for an execution not attached.
        """
        lane = self._lanes.get(entry.execution_id.int) or self._lane(entry.execution_id)
        return self.writer.take(lane, entry) or self.writer.refuse()

    async def append_acked(self, entry: Entry) -> JournalSeq:
        """Commit `entry` with everything accepted before it, and return its `seq`.

        Durable at return. `CommitOutcomeUnknown` if that takes longer than the ack timeout: the
        entry may still land, and is not withdrawn. `JournalUnavailable` if it was not accepted.
        Otherwise raises as `append_buffered` does. A cancelled caller withdraws nothing.
        """
        lane = self._lanes.get(entry.execution_id.int) or self._lane(entry.execution_id)
        return await self.append_bounded(lane, entry)

    def append_bounded(self, lane: Lane, entry: Entry) -> Awaitable[JournalSeq]:
        """As `append_acked`, for whoever holds the lane of the entry's execution.

        Where there is room the entry is queued by the call itself, which raises if it may not be.
        """
        if not self.writer.has_room:
            return self._append_once_there_is_room(lane, entry)
        future = self.writer.submit(lane, entry)
        self._deadlines.watch(future)
        return cast("asyncio.Future[JournalSeq]", future)

    async def flush(self) -> None:
        """Return when all that was accepted before is committed; see `JournalWriter.flush`."""
        await self.writer.flush()

    def health(self) -> WriterHealth:
        """A snapshot of the writer's state and counts."""
        return self.writer.health()

    async def close(self) -> None:
        """Drain and stop; see `JournalWriter.close`."""
        try:
            await self.writer.close()
        finally:
            if self.writer.health().state is Health.CLOSED:  # or it was cancelled before
                self._deadlines.cancel()

    async def _append_once_there_is_room(self, lane: Lane, entry: Entry) -> JournalSeq:
        """As `append_acked`, where the wait for room is part of what the timeout bounds."""
        limit = self.writer.settings.ack_timeout_ms
        deadline = asyncio.get_running_loop().time() + limit / 1000
        try:
            async with asyncio.timeout_at(deadline):
                await self.writer.room()
        except TimeoutError:
            message = f"no room in the journal's queue within {limit} ms; nothing was accepted"
            raise JournalUnavailable(message) from None
        future = self.writer.submit(lane, entry)
        timer = self._deadlines.watch_until(deadline, future)
        try:
            return JournalSeq(await future)
        finally:
            timer.cancel()

    def _lane(self, execution_id: ExecutionId) -> Lane:
        try:
            return self._lanes[execution_id.int]
        except KeyError:
            message = f"execution {execution_id} is not attached to this writer; claim it first"
            raise ExecutionNotFound(message) from None
