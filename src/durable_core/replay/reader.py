"""Reads an execution's rows in segments and verifies the chain as it goes (INV-16)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from durable_core.contracts.backend import Journal
from durable_core.errors import IntegrityError
from durable_core.model.entries import EntryKind, JournalRow
from durable_core.model.execution import ExecutionRow
from durable_core.telemetry import SpanName, Tracing
from durable_core.wire.envelope import ExecutionEnvelope

__all__ = ["ChainReader"]

_SEGMENT: Final = 100


class ChainReader:
    """Reads up to the entry count of `row`, whose own anchor the caller has checked.

    Entries that were committed after `row` was read are left alone once the first of them was seen
    to continue the chain. `complete` says that there can be none: the execution has ended for good,
    or the caller owns it and has nothing under way. One call at a time.
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
    ) -> None:
        self.row = row
        self.envelope = envelope
        self._journal = journal
        self._tracing = tracing
        self._segment = segment
        self._complete = complete
        self._read_to = 0
        self._generation = -1
        self._head = envelope.genesis

    @property
    def exhausted(self) -> bool:
        """Whether every entry has been read."""
        return self._read_to >= self.row.entry_count

    async def segment(self) -> list[JournalRow]:
        """The next rows, verified; empty when exhausted. `IntegrityError` for any damage.

        The end is checked against the execution's row, so a cut or lengthened tail is found.
        """
        left = self.row.entry_count - self._read_to
        limit = min(self._segment, left)
        if limit <= 0:
            return []
        with self._tracing.span(SpanName.JOURNAL_READ_SEGMENT, {"durable.entries": limit}):
            rows = await self._journal.read_execution_range(
                self.row.execution_id,
                self._read_to,
                limit + (limit == left),
            )
        beyond = rows[limit:]
        del rows[limit:]
        for row in rows:
            self._check(row)
        if len(rows) < limit:
            raise self._missing()
        if self.exhausted and self.row.stamped and self._head != self.row.head_hmac:
            message = f"the last entry of execution {self._name} is not the one its anchor names"
            raise IntegrityError(message)
        if beyond:
            self._check_beyond(beyond[0])
        return rows

    async def each(self, take: Callable[[JournalRow], object]) -> None:
        """Hand every row from here on, verified and in order, to `take`; raises as it does."""
        with self._tracing.span(SpanName.JOURNAL_READ, {"durable.entries": self.row.entry_count}):
            while not self.exhausted:
                for row in await self.segment():
                    take(row)

    def _check(self, row: JournalRow) -> None:
        if row.entry_no != self._read_to + 1:
            raise self._missing()
        self._head = self.envelope.check(self._head, row)
        self._read_to = row.entry_no
        starts = row.entry_kind == EntryKind.EXECUTION_STARTED
        self._generation += starts
        if row.generation != self._generation:
            message = f"entry {row.entry_no} of execution {self._name} is out of its generation"
            raise IntegrityError(message)

    def _check_beyond(self, row: JournalRow) -> None:
        if self._complete:
            message = (
                f"execution {self._name} holds an entry beyond its last one: the journal was "
                "changed outside durable-core; restore it from a backup"
            )
            raise IntegrityError(message)
        if row.entry_no != self._read_to + 1:
            raise self._missing()
        self.envelope.check(self._head, row)

    def _missing(self) -> IntegrityError:
        return IntegrityError(
            f"entry {self._read_to + 1} of execution {self._name} is missing: the journal was "
            "changed outside durable-core; restore it from a backup",
        )

    @property
    def _name(self) -> str:
        return self.row.execution_id.hex()
