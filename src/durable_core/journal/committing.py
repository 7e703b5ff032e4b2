"""From formed appends to their fate: commit, retry, isolate, and tell fenced from landed.

Carries the failure half of INV-4, INV-15 and INV-17: transient trouble is retried in order, a
rejected entry takes only the later entries of its execution with it, and an append that did not
match its fence is looked up before anything is said about it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from durable_core.clock import Clock
from durable_core.contracts.backend import BatchOutcome, ExecutionBackend
from durable_core.errors import (
    CommitOutcomeUnknown,
    DurableError,
    EntryRejected,
    ExecutionFenced,
    ExecutionTerminal,
    JournalUnavailable,
    KeyTaken,
    TransientStoreError,
)
from durable_core.journal.batching import Pending, batch_of
from durable_core.journal.lane import Lane
from durable_core.model.execution import TERMINAL, status_of
from durable_core.telemetry import Recorder, SpanName, Tracing

__all__ = ["Committer", "StoreFailure"]

_LOG: Final = logging.getLogger("durable_core.journal")
_FIRST_PAUSE: Final = 0.002
_LONGEST_PAUSE: Final = 0.25

T = TypeVar("T")


class StoreFailure(Exception):
    """The store as a whole takes no commits; `cause` is what to tell everybody who waits."""

    def __init__(self, cause: JournalUnavailable) -> None:
        super().__init__(str(cause))
        self.cause = cause


class Committer:
    """Carries batches into the backend, one at a time, and settles every append in them.

    `settle(pending, seq, error)` is called exactly once for each append, in order within its
    execution; the writer supplies it.
    """

    def __init__(
        self,
        backend: ExecutionBackend,
        clock: Clock,
        retry_for: float,
        metrics: Recorder,
        settle: Callable[[Pending, int | None, DurableError | None], None],
    ) -> None:
        self._backend = backend
        self._clock = clock
        self._retry_for = retry_for
        self._metrics = metrics
        self._settle = settle
        self._tracing = Tracing()

    async def commit(self, batch: Sequence[Pending]) -> None:
        """Bring every append of `batch` to its end; `StoreFailure` if the store takes nothing.

        Appends that were settled before the failure stay settled; the rest is the caller's.
        """
        try:
            outcome = await self._append(batch)
        except EntryRejected as error:
            if len(batch) == 1:
                await self._reject(batch[0], error)
            else:
                await self._one_by_one(batch)
            return
        await self._take_in(batch, outcome)

    async def landed(self, lane: Lane, appends: Sequence[Pending]) -> bool:
        """Settle `appends` of one lane if exactly their rows are stored already; whether they are.

        Reads behind whatever the backend still has under way. A stored row counts only if it is
        equal in every column, its hmac included.
        """
        rows = [pending.row for pending in appends if pending.row is not None]
        heads = await self._backend.heads([lane.row.execution_id])
        if not heads or not appends:
            return False
        after = appends[-1].after
        if not rows and (heads[0].status, heads[0].entry_count) != (
            after.status.label,
            after.entries,
        ):
            return False
        first = rows[0].entry_no if rows else 1
        execution_id = lane.row.execution_id
        stored = await self._backend.journal.read_execution_range(
            execution_id, first - 1, len(rows)
        )
        if stored != rows:
            return False
        seqs = iter(await self._backend.stored_seqs(execution_id, first - 1, len(rows)))
        for pending in appends:
            self._settle(pending, next(seqs) if pending.row is not None else 0, None)
        return True

    async def _append(self, batch: Sequence[Pending]) -> BatchOutcome:
        deadline = time.monotonic() + self._retry_for
        pause = _FIRST_PAUSE
        while True:
            commit = batch_of(batch, self._clock.now_ms())
            began = time.perf_counter()
            try:
                with self._tracing.span(SpanName.JOURNAL_APPEND, _size_of(batch)):
                    outcome = await self._backend.journal.append(commit)
            except TransientStoreError as error:
                if time.monotonic() + pause > deadline:
                    raise StoreFailure(_gave_up(error, self._retry_for)) from error
                _LOG.debug("a commit met transient trouble and is tried again: %s", error)
            except JournalUnavailable as error:
                raise StoreFailure(error) from error
            else:
                self._metrics.record(
                    "durable.journal.writer.commit_latency",
                    time.perf_counter() - began,
                )
                return outcome
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _take_in(self, batch: Sequence[Pending], outcome: BatchOutcome) -> None:
        if not outcome.unmatched and not outcome.taken:
            seqs = iter(outcome.seqs)
            for pending in batch:
                self._settle(pending, next(seqs) if pending.row is not None else 0, None)
            return
        await self._sort_out(batch, outcome)

    async def _sort_out(self, batch: Sequence[Pending], outcome: BatchOutcome) -> None:
        refused: dict[Lane, list[Pending]] = {}
        seqs = iter(outcome.seqs)
        for pending in batch:
            seq = next(seqs) if pending.row is not None else 0
            execution_id = pending.lane.row.execution_id
            if execution_id in outcome.unmatched or execution_id in outcome.taken:
                refused.setdefault(pending.lane, []).append(pending)
            else:
                self._settle(pending, seq, None)
        for lane, appends in refused.items():
            existing = outcome.taken.get(lane.row.execution_id)
            if existing == lane.row.execution_id:
                existing = None  # taken by the very start that is being retried
            if existing is None and await self._call(self.landed(lane, appends)):
                continue
            lane.failure = (
                await self._call(self._why_unmatched(lane))
                if existing is None
                else KeyTaken(f"workflow {lane.row.workflow!r} has that key already", existing)
            )
            for pending in appends:
                self._settle(pending, None, lane.failure)

    async def _why_unmatched(self, lane: Lane) -> DurableError:
        heads = await self._backend.heads([lane.row.execution_id])
        name = lane.row.execution_id.hex()
        if heads and heads[0].owner_epoch == lane.row.owner_epoch:
            status = status_of(heads[0].status)
            if status in TERMINAL:
                return ExecutionTerminal(f"execution {name} is {status.label}: nothing was written")
        return ExecutionFenced(
            f"execution {name} was taken over by another owner; nothing more is written from here",
        )

    async def _one_by_one(self, batch: Sequence[Pending]) -> None:
        """Strictly in queue order, so that no append commits ahead of an earlier one (INV-4)."""
        for pending in batch:
            if pending.lane.failure is not None:
                self._settle(pending, None, pending.lane.failure)
            else:
                await self.commit((pending,))

    async def _reject(self, pending: Pending, error: EntryRejected) -> None:
        if await self._call(self.landed(pending.lane, (pending,))):
            return
        pending.lane.failure = error
        self._settle(pending, None, error)

    async def _call(self, reading: Awaitable[T]) -> T:
        """A read that decides a fate: if the store cannot answer, the store has failed."""
        try:
            return await reading
        except JournalUnavailable as error:
            raise StoreFailure(error) from error


def _size_of(batch: Sequence[Pending]) -> dict[str, int]:
    return {"durable.batch_size": len(batch)}


def _gave_up(error: TransientStoreError, seconds: float) -> JournalUnavailable:
    kind = CommitOutcomeUnknown if error.landed_unknown else JournalUnavailable
    unavailable = kind(f"the store took no commit for {seconds:g} s: {error}")
    unavailable.__cause__ = error
    return unavailable
