"""One execution as the writer sees it: where its chain stands, and whether it may go on.

A lane knows three states. *Committed* is what the database holds, *formed* is what the newest
formed row leads to, *accepted* is what holds once everything in the queue is written. A lane that
lost an entry is failed: nothing of its execution commits ahead of the hole (INV-4).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple, Self

from attrs import define

from durable_core.contracts.cipher import Seal
from durable_core.contracts.exchange import HeadChange
from durable_core.errors import DurableError, ExecutionTerminal, JournalError
from durable_core.ids import ExecutionId, shown_id
from durable_core.model.entries import (
    PROMISE_KINDS,
    STEP_KINDS,
    TIMER_KINDS,
    Entry,
    EntryKind,
    ExecutionFinished,
    ExecutionStarted,
    IntentSettled,
    JournalRow,
)
from durable_core.model.execution import (
    LEGAL_TRANSITIONS,
    TERMINAL,
    ExecutionRow,
    Status,
    status_of,
)
from durable_core.wire.envelope import NONE_PREPARED, ExecutionEnvelope

__all__ = ["HeadState", "Lane"]

_LABELS: Final = {status: status.label for status in Status}
"""The words of the states, spelled once: each change of a row holds two."""


_OF_A_RUN: Final = (STEP_KINDS | TIMER_KINDS | PROMISE_KINDS) - {EntryKind.INTENT_SETTLED}
"""What a running generation consists of, and what changes no status."""


class HeadState(NamedTuple):
    """The changing part of an execution's row."""

    status: Status
    generation: int
    entries: int
    head: bytes


@define(eq=False)
class Lane:
    """The writer's view of one execution. Used by the event loop's thread alone."""

    execution_id: ExecutionId
    row: ExecutionRow
    envelope: ExecutionEnvelope
    stored: bool
    committed: HeadState
    formed: HeadState
    accepted_status: Status
    accepted_generation: int
    accepted_count: int
    failure: DurableError | None = None

    @property
    def waiting(self) -> bool:
        """Whether entries of this execution were accepted that are not committed yet."""
        return self.accepted_count > self.committed.entries

    @classmethod
    def of(
        cls,
        execution_id: ExecutionId,
        row: ExecutionRow,
        envelope: ExecutionEnvelope,
        *,
        stored: bool,
    ) -> Self:
        """The lane of an execution that stands as `row` says, or that is to be created so."""
        status = status_of(row.status)
        head = HeadState(
            status,
            row.generation,
            row.entry_count,
            row.head_hmac or envelope.genesis,
        )
        count = row.entry_count
        return cls(execution_id, row, envelope, stored, head, head, status, row.generation, count)

    def admit(self, entry: Entry) -> None:
        """Note that a checked `entry` joins the queue; raises, and notes nothing, where it may not.

        `ExecutionTerminal` (also for a blocked execution), `JournalError` for a generation that is
        not the running one, or the lane's own failure. Of an execution that ended, only a new
        generation is accepted, and only where it failed.
        """
        if entry.kind in _OF_A_RUN and self.goes_on(entry.generation):
            return
        if self.failure is not None:
            raise self.failure
        if isinstance(entry, ExecutionStarted):
            self._admit_start(entry)
        elif entry.generation != self.accepted_generation:
            message = (
                f"an entry of generation {entry.generation} was offered to execution "
                f"{shown_id(self.row.execution_id)} in generation {self.accepted_generation}"
            )
            raise JournalError(message)
        elif isinstance(entry, ExecutionFinished):
            self._lead_to(entry.status)
        elif isinstance(entry, IntentSettled):
            self.change_status(Status.RUNNING)
        else:
            # An entry of a run, for which all but the status is as it has to be.
            raise self._closed()
        self.accepted_count += 1

    def goes_on(self, generation: int) -> bool:
        """Note that a checked entry of a run joins the queue, which it may if this is running.

        All but all that is ever appended; where it is not noted, `admit` says why.
        """
        if (
            generation == self.accepted_generation
            and self.accepted_status is Status.RUNNING
            and self.failure is None
        ):
            self.accepted_count += 1
            return True
        return False

    def change_status(self, status: Status) -> None:
        """Note a change that opens or ends no generation: between running and blocked.

        `ExecutionTerminal` for any other: an end has its entry, and what ended goes on in a new
        generation or not at all.
        """
        if status in TERMINAL or self.accepted_status in TERMINAL:
            raise self._closed()
        self._lead_to(status)

    def form(
        self,
        what: Entry | Status,
        now_ms: int,
        seals: Iterator[Seal] = NONE_PREPARED,
    ) -> JournalRow | None:
        """Number, seal and stamp the row of an entry; a bare change of status has none."""
        if isinstance(what, int):  # a Status; that class itself would have to be looked at closely
            self.formed = self.formed._replace(status=what)
            return None
        before, _, entries, head = self.formed
        row = self.envelope.row_of(what, entries + 1, head, now_ms, seals)
        after = before if what.kind in _OF_A_RUN else _status_after(what)
        hmac = row.hmac or self.envelope.genesis
        # A named tuple of ours has a `__new__` of its own, which takes longer than the tuple.
        self.formed = tuple.__new__(HeadState, (after, what.generation, entries + 1, hmac))
        return row

    def change_to(self, after: HeadState, now_ms: int) -> HeadChange:
        """The conditional update that takes the stored row from its committed state to `after`."""
        row = self.row
        expected, _, count, _ = self.committed
        status, generation, entries, _ = after
        head, anchor = self._stamps(after)
        return tuple.__new__(
            HeadChange,
            (
                row.execution_id,
                row.owner_epoch,
                _LABELS[expected],
                count,
                _LABELS[status],
                generation,
                entries,
                head,
                anchor,
                now_ms,
                now_ms if status in TERMINAL else None,
            ),
        )

    def start_as(self, after: HeadState, now_ms: int) -> ExecutionRow:
        """The row to create, as it stands after its first batch."""
        row = self.row
        status, generation, entries, _ = after
        head, anchor = self._stamps(after)
        # As in `form`: `_replace` takes longer.
        return tuple.__new__(
            ExecutionRow,
            (
                *row[:4],
                _LABELS[status],
                generation,
                *row[6:11],
                entries,
                head,
                anchor,
                row.created_at,
                now_ms,
                now_ms if status in TERMINAL else None,
            ),
        )

    def _admit_start(self, entry: ExecutionStarted) -> None:
        if self.accepted_count == 0 and entry.generation == 0:
            return
        if entry.generation != self.accepted_generation + 1:
            message = (
                f"generation {entry.generation} cannot follow generation "
                f"{self.accepted_generation} of execution {shown_id(self.row.execution_id)}"
            )
            raise JournalError(message)
        self._lead_to(Status.RUNNING)
        self.accepted_generation = entry.generation

    def _lead_to(self, status: Status) -> None:
        """Note that the queue leads to `status`; `ExecutionTerminal` if that is not legal."""
        if status is self.accepted_status is Status.RUNNING:
            return
        if status not in LEGAL_TRANSITIONS[self.accepted_status]:
            raise self._closed()
        self.accepted_status = status

    def _stamps(self, state: HeadState) -> tuple[bytes | None, bytes | None]:
        """The `head_hmac` and the `anchor_mac` of that state; none where nothing is stamped."""
        status, generation, entries, head = state
        anchor = self.envelope.anchor(status, generation, entries, head)
        return (None if anchor is None or entries == 0 else head), anchor

    def _closed(self) -> ExecutionTerminal:
        return ExecutionTerminal(
            f"execution {shown_id(self.row.execution_id)} is {self.accepted_status.label} and "
            "accepts no such entry or change",
        )


def _status_after(entry: Entry) -> Status:
    return entry.status if isinstance(entry, ExecutionFinished) else Status.RUNNING
