"""From formed appends to their fate: commit, retry, isolate, and tell fenced from landed.

Carries the failure half of INV-4, INV-15 and INV-17: transient trouble is retried in order, a
rejected entry takes only the later entries of its execution with it, and an append that did not
match its fence is looked up before anything is said about it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from durable_core.clock import Clock
from durable_core.contracts.backend import ExecutionBackend
from durable_core.contracts.exchange import BatchOutcome
from durable_core.errors import (
    DurableError,
    EntryRejected,
    ExecutionFenced,
    ExecutionTerminal,
    KeyTaken,
)
from durable_core.ids import shown_id
from durable_core.journal.asking import Asking
from durable_core.journal.batching import Pending, batch_of
from durable_core.journal.landing import landed
from durable_core.journal.lane import Lane
from durable_core.model.execution import TERMINAL, status_of
from durable_core.telemetry import Recorder, SpanName, Tracing

__all__ = ["Committer"]

_LARGEST: Final = 32 * 1024 * 1024
"""So many bytes of payloads are one transaction, or one entry that alone has more: a database takes
no statement of any size, and sends what it takes within the time that a commit has.
"""


class Committer:
    """Carries batches into the backend, one at a time, and settles every append in them.

    Each append is settled exactly once, in order within its execution: as one of those that were
    `written`, with its seq, or as one that was `lost`, and why. The writer supplies both, what
    there is to do `meanwhile`, and whether there is time to settle a batch `first`, before the loop
    goes on to the next one.
    """

    def __init__(
        self,
        backend: ExecutionBackend,
        clock: Clock,
        asking: Asking,
        metrics: Recorder,
        written: Callable[[Iterable[tuple[Pending, int | None]]], None],
        lost: Callable[[Pending, DurableError | None], None],
        meanwhile: Callable[[], None],
        first: Callable[[], bool],
    ) -> None:
        self._backend = backend
        self._clock = clock
        self._asking = asking
        self._metrics = metrics
        self._written = written
        self._lost = lost
        self._meanwhile = meanwhile
        self._first = first
        self._tracing = Tracing()

    async def commit(self, batch: Sequence[Pending]) -> None:
        """Bring every append of `batch` to its end; `StoreFailure` if the store takes nothing.

        Appends that were settled before the failure stay settled; the rest is the caller's.
        """
        size = 0
        for pending in batch:  # here, since a call is what costs on the way of each commit
            row = pending.row
            if row is not None and row.payload is not None:
                size += len(row.payload)
        if size > _LARGEST and len(batch) > 1:
            await self._in_pieces(batch)
            return
        try:
            outcome = await self._asking.ask(lambda: self._append(batch))
        except EntryRejected as error:
            if len(batch) == 1:
                await self._reject(batch[0], error)
            else:
                await self._one_by_one(batch)
            return
        if not outcome.is_whole:
            await self._sort_out(batch, outcome)
        elif not batch[0].settled:
            self._written(_numbered(batch, outcome))

    async def settle_landed(self, lane: Lane, appends: Sequence[Pending]) -> Sequence[Pending]:
        """Settle what is stored already of `appends`, the next formed ones of `lane`; the rest.

        Raises as `commit` does.
        """
        seqs = await self._asking.ask(lambda: landed(self._backend, lane, appends))
        self._written(zip(appends, seqs, strict=False))
        return appends[len(seqs) :]

    async def _append(self, batch: Sequence[Pending]) -> BatchOutcome:
        def told(outcome: BatchOutcome) -> None:
            if outcome.is_whole and self._first():
                self._written(_numbered(batch, outcome))

        commit = batch_of(batch, self._clock.now_ms(), self._meanwhile, told)
        began = time.perf_counter()
        with self._tracing.span(SpanName.JOURNAL_APPEND, {"durable.batch_size": len(batch)}):
            outcome = await self._backend.journal.append(commit)
        latency = time.perf_counter() - began
        self._metrics.record("durable.journal.writer.commit_latency", latency)
        return outcome

    async def _sort_out(self, batch: Sequence[Pending], outcome: BatchOutcome) -> None:
        refused: dict[Lane, list[Pending]] = {}
        for pending, seq in _numbered(batch, outcome):
            execution_id = pending.lane.row.execution_id
            if execution_id in outcome.unmatched or execution_id in outcome.taken:
                refused.setdefault(pending.lane, []).append(pending)
            else:
                self._written([(pending, seq)])
        for lane, appends in refused.items():
            existing = outcome.taken.get(lane.row.execution_id)
            if existing == lane.row.execution_id:
                existing = None  # taken by the very start that is being retried
            if existing is None:
                await self._settle_unmatched(lane, appends)
            else:
                message = f"workflow {lane.row.workflow!r} has that key already"
                self._fail(lane, appends, KeyTaken(message, existing))

    async def _settle_unmatched(self, lane: Lane, appends: Sequence[Pending]) -> None:
        rest = await self.settle_landed(lane, appends)
        if rest:
            self._fail(lane, rest, await self._asking.ask(lambda: self._why_unmatched(lane)))

    def _fail(self, lane: Lane, appends: Sequence[Pending], error: DurableError) -> None:
        lane.failure = error
        for pending in appends:
            self._lost(pending, error)

    async def _why_unmatched(self, lane: Lane) -> DurableError:
        heads = await self._backend.heads([lane.row.execution_id])
        name = shown_id(lane.row.execution_id)
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
            await self._go_on((pending,))

    async def _in_pieces(self, batch: Sequence[Pending]) -> None:
        """In queue order as well, as many at once as are not too large together."""
        piece, size = list[Pending](), 0
        for pending in batch:
            row = pending.row
            own = 0 if row is None else len(row.payload or b"")
            if piece and size + own > _LARGEST:
                await self._go_on(piece)
                piece, size = [], 0
            piece.append(pending)
            size += own
        await self._go_on(piece)

    async def _go_on(self, appends: Sequence[Pending]) -> None:
        """Commit those whose execution has lost nothing before; the others are lost as well."""
        going = list[Pending]()
        for pending in appends:
            if pending.lane.failure is not None:
                self._lost(pending, pending.lane.failure)
            else:
                going.append(pending)
        if going:
            await self.commit(going)

    async def _reject(self, pending: Pending, error: EntryRejected) -> None:
        if await self.settle_landed(pending.lane, (pending,)):
            self._fail(pending.lane, (pending,), error)


def _numbered(
    batch: Sequence[Pending], outcome: BatchOutcome
) -> Iterable[tuple[Pending, int | None]]:
    """Each append with the seq of its row, 0 where it has none; those of its heirs are passed over.

    All but all batches have a row for each append, and no other.
    """
    if not [pending for pending in batch if pending.row is None or pending.heirs]:
        return zip(batch, outcome.seqs, strict=True)
    seqs = iter(outcome.seqs)
    numbered: list[tuple[Pending, int | None]] = []
    for pending in batch:
        numbered.append((pending, 0 if pending.row is None else next(seqs)))
        for _ in pending.heirs:
            next(seqs)
    return numbered
