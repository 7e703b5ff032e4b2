"""Reads an execution's rows in segments and verifies the chain as it goes (INV-16)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from durable_core.contracts.backend import Journal
from durable_core.errors import DecodeError, IntegrityError
from durable_core.ids import shown_id
from durable_core.model.entries import EntryKind, JournalRow
from durable_core.model.execution import ExecutionRow
from durable_core.telemetry import SpanName, Tracing
from durable_core.wire.chain import check_rows
from durable_core.wire.checkpoint import Span, unfolded
from durable_core.wire.envelope import ExecutionEnvelope

__all__ = ["ChainReader"]

_SEGMENT: Final = 100
_CHECKPOINT: Final = int(EntryKind.CHECKPOINT)
_STARTED: Final = int(EntryKind.EXECUTION_STARTED)


class ChainReader:
    """Reads up to the entry count of `row`, whose own anchor the caller has checked.

    Entries that were committed after `row` was read are left alone once the first of them was seen
    to continue the chain. `complete` says that there can be none: the execution has ended for good,
    or the caller owns it and has nothing under way. One call at a time.

    A checkpoint is read as the rows that it stands for; with `checkpoints` it is handed out in
    front of them. Its owner may fold what is being read. Memory is that of a segment of stored
    rows, and of one checkpoint.
    """

    def __init__(
        self,
        journal: Journal,
        row: ExecutionRow,
        envelope: ExecutionEnvelope,
        tracing: Tracing,
        segment: int = _SEGMENT,
        *,
        complete: bool = False,
        checkpoints: bool = False,
    ) -> None:
        self.row = row
        self.envelope = envelope
        self._journal = journal
        self._tracing = tracing
        self._segment = segment
        self._complete = complete
        self._checkpoints = checkpoints
        self._unchecked: deque[JournalRow] = deque()
        self._no_more = False
        self._read_to = 0
        self._generation = -1
        self._head = envelope.genesis

    @property
    def exhausted(self) -> bool:
        """Whether every entry has been read."""
        return self._read_to >= self.row.entry_count

    async def segment(self) -> list[JournalRow]:
        """The next rows, verified; empty when exhausted. `IntegrityError` for any damage.

        Instead of a checkpoint come the rows that it stands for, as a segment of their own. The end
        is checked against the execution's row, so a cut or lengthened tail is found.
        """
        if self.exhausted:
            return []
        if not self._unchecked:
            await self._read()
        if self._unchecked and self._unchecked[0].entry_kind == _CHECKPOINT:
            rows = self._take_checkpoint(self._unchecked.popleft())
        else:
            rows = self._take_rows()
        if self._read_to >= self.row.entry_count:
            await self._check_end()
        elif self._no_more and not self._unchecked:
            raise self._missing()
        return rows

    def _take_rows(self) -> list[JournalRow]:
        """What was read in front of the next checkpoint: the chain of all of it in one go."""
        rows: list[JournalRow] = []
        unchecked, count = self._unchecked, self.row.entry_count
        number, generation, gap = self._read_to, self._generation, False
        while unchecked and number < count and generation == self._generation:
            row = unchecked[0]
            if row.entry_kind == _CHECKPOINT:
                break
            gap = row.entry_no != number + 1
            if gap:
                break
            rows.append(unchecked.popleft())
            number += 1
            self._generation += row.entry_kind == _STARTED
            generation = row.generation
        self._head = check_rows(self.envelope.keys.macs, self._head, rows)
        self._read_to = number
        if generation != self._generation:
            raise self._out_of_generation(rows[-1])
        if gap:
            raise self._missing()
        return rows

    async def _read(self) -> None:
        """Read the next segment of stored rows, and at the end one more that must not be there."""
        left = self.row.entry_count - self._read_to
        limit = min(self._segment, left)
        limit += limit == left
        with self._tracing.span(SpanName.JOURNAL_READ_SEGMENT, {"durable.entries": limit}):
            rows = await self._journal.read_execution_range(
                self.row.execution_id, self._read_to, limit
            )
        self._unchecked.extend(rows)
        self._no_more = len(rows) < limit

    async def _check_end(self) -> None:
        if self.row.stamped and self._head != self.row.head_hmac:
            message = f"the last entry of execution {self._name} is not the one its anchor names"
            raise IntegrityError(message)
        if not self._unchecked and not self._no_more:
            await self._read()  # it ended with a checkpoint, which stands for many
        if self._unchecked:
            self._check_beyond(self._unchecked[0])
            self._unchecked.clear()

    async def each(self, take: Callable[[JournalRow], object]) -> None:
        """Hand every row from here on, verified and in order, to `take`; raises as it does."""
        with self._tracing.span(SpanName.JOURNAL_READ, {"durable.entries": self.row.entry_count}):
            while not self.exhausted:
                for row in await self.segment():
                    take(row)

    def _take_checkpoint(self, checkpoint: JournalRow) -> list[JournalRow]:
        """The rows that it stands for, but for those that were read before they were folded."""
        rows = self._unfolded(checkpoint)
        left = self.row.entry_count - self._read_to
        if len(rows) > left and self._complete:
            raise self._beyond()
        del rows[left:]
        self._head = rows[-1].hmac or self.envelope.genesis
        self._read_to = rows[-1].entry_no
        return [checkpoint, *rows] if self._checkpoints else rows

    def _unfolded(self, checkpoint: JournalRow) -> list[JournalRow]:
        """What of a checkpoint's range is not read yet, once the chain was seen to go on there."""
        try:
            span = Span.decode(checkpoint)
        except DecodeError:
            # Who changed it is found by the chain.
            self.envelope.check(self._head, checkpoint)
            raise
        known = self._read_to + 1 - span.first
        if known < 0 or checkpoint.entry_no <= self._read_to:
            raise self._missing()
        before = self._head if known == 0 else span.before or self.envelope.genesis
        self.envelope.check(before, checkpoint)
        rows: list[JournalRow] = list(unfolded(self.envelope, checkpoint))
        if known and (rows[known - 1].hmac or self.envelope.genesis) != self._head:
            message = (
                f"the checkpoint in entry {checkpoint.entry_no} of execution {self._name} does not "
                "hold what stood in its place"
            )
            raise IntegrityError(message)
        if checkpoint.generation != self._generation:
            raise self._out_of_generation(checkpoint)
        return rows[known:]

    def _check_beyond(self, row: JournalRow) -> None:
        if self._complete:
            raise self._beyond()
        if row.entry_kind == EntryKind.CHECKPOINT:
            self._unfolded(row)
        elif row.entry_no != self._read_to + 1:
            raise self._missing()
        else:
            self.envelope.check(self._head, row)

    def _out_of_generation(self, row: JournalRow) -> IntegrityError:
        return IntegrityError(
            f"entry {row.entry_no} of execution {self._name} is out of its generation"
        )

    def _beyond(self) -> IntegrityError:
        return IntegrityError(
            f"execution {self._name} holds an entry beyond its last one: the journal was "
            "changed outside durable-core; restore it from a backup"
        )

    def _missing(self) -> IntegrityError:
        return IntegrityError(
            f"entry {self._read_to + 1} of execution {self._name} is missing: the journal was "
            "changed outside durable-core; restore it from a backup",
        )

    @property
    def _name(self) -> str:
        return shown_id(self.row.execution_id)
