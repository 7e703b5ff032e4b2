"""All that an operator asks of one execution, read once and without an engine.

What the rows say in clear is told without a key, and is unverified then. With the key the chain is
checked, and of failures their types and attempts are told; values and messages only if revealed.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Sequence
from typing import Final

from attrs import field, frozen

from durable_core.contracts.exchange import InboxRow, PromiseRow, TimerRow
from durable_core.engine.inspection import (
    Inspector,
    RevealedPayload,
    SeenExecution,
    linked_to,
    revealed,
)
from durable_core.engine.outcome import CONTINUED, Failure, read_finished
from durable_core.engine.stored import IntentFinder, OpenIntent
from durable_core.ids import ExecutionId
from durable_core.model.entries import EntryKind, FoldedRow, JournalRow
from durable_core.model.execution import ANYONE, NOBODY, TERMINAL, status_of
from durable_core.replay.detail import StepDetail
from durable_core.wire.envelope import ExecutionEnvelope

__all__ = ["Ending", "Examined", "FailedStep", "KindCount", "OwnerState", "examine"]

_EVERY_REQUEST: Final = 10_000


class OwnerState(enum.Enum):
    """Who has an execution; the value is the word for it."""

    LIVES = "lives"
    """An opened engine, which holds its lock at this moment."""

    GONE = "gone"
    """An engine that was closed or died."""

    GIVEN_UP = "given up"
    """Nobody: it waits for any engine that has its workflow."""

    ANYONE = "for anyone"
    """It was started for whichever worker claims it."""


_NO_ENGINES: Final = {NOBODY: OwnerState.GIVEN_UP, ANYONE: OwnerState.ANYONE}


@frozen
class KindCount:
    """How many entries of one kind there are in all generations, and their payloads' bytes."""

    kind: int
    entries: int
    payload_bytes: int


@frozen
class FailedStep:
    """A step that failed for good. Type and attempts are None where nobody could check them."""

    row: JournalRow
    name: str | None
    error_type: str | None
    attempts: int | None
    message: str | None = field(default=None, repr=False)


@frozen
class Ending:
    """The entry that ended the current generation; its payload only if that is revealed.

    `error_type` is None for a value, and where the payload could not be checked. `successor` is the
    execution that continues this one.
    """

    row: JournalRow
    error_type: str | None
    payload: RevealedPayload | None = field(default=None, repr=False)
    successor: ExecutionId | None = None


@frozen
class Examined:
    """One execution: its row, its owner, its entries in numbers, and what it waits for.

    `open_intents` are an operator's to settle where the status is `blocked`; where it is `running`
    they are under way, or will meet their policies. `promises` and `timers` are those that are
    neither resolved nor fired; none where it has ended.
    """

    seen: SeenExecution
    owner: OwnerState
    kinds: Sequence[KindCount]
    longest_payload: int
    open_intents: Sequence[OpenIntent]
    promises: Sequence[PromiseRow]
    timers: Sequence[TimerRow]
    requests: Sequence[InboxRow]
    failed_steps: Sequence[FailedStep]
    ending: Ending | None
    predecessor: ExecutionId | None = None
    """The execution that this one continues."""

    @property
    def payload_bytes(self) -> int:
        """The bytes of all payloads as they are stored."""
        return sum(count.payload_bytes for count in self.kinds)


async def examine(journal: Inspector, seen: SeenExecution, *, reveal: bool = False) -> Examined:
    """Read an execution and everything about it; raises as `Inspector.entries` does."""
    entries = _Entries(seen, reveal=reveal)
    await journal.each(seen, entries.take, reveal=reveal)
    requests = await journal.backend.read_inbox(seen.row.owner_id, _EVERY_REQUEST)
    promises, timers = await _waits_of(journal, seen)
    return Examined(
        seen,
        await _owner_of(journal, seen),
        entries.counts(),
        entries.longest,
        entries.intents.found(),
        [promise for promise in promises if promise.outcome is None],
        timers,
        [request for request in requests if request.execution_id == seen.row.execution_id],
        entries.failed_steps,
        entries.ending,
        entries.predecessor,
    )


async def _waits_of(
    journal: Inspector, seen: SeenExecution
) -> tuple[Sequence[PromiseRow], Sequence[TimerRow]]:
    """The promises and timers that are kept for an execution that goes on."""
    if status_of(seen.row.status) in TERMINAL:
        return [], []
    execution_id = seen.row.execution_id
    promises = await journal.backend.promises_of(execution_id)
    return promises, await journal.backend.timers_of(execution_id)


async def _owner_of(journal: Inspector, seen: SeenExecution) -> OwnerState:
    owner_id = seen.row.owner_id
    if owner_id in _NO_ENGINES:
        return _NO_ENGINES[owner_id]
    alive = await journal.backend.owner_alive(owner_id)
    return OwnerState.LIVES if alive else OwnerState.GONE


class _Entries:
    """What is gathered from the entries as they pass by."""

    def __init__(self, seen: SeenExecution, *, reveal: bool) -> None:
        self.intents = IntentFinder(seen.row.generation)
        self.failed_steps: list[FailedStep] = []
        self.ending: Ending | None = None
        self.predecessor: ExecutionId | None = None
        self.longest = 0
        self._generation = seen.row.generation
        self._reveal = reveal
        self._entries: Counter[int] = Counter()
        self._bytes: Counter[int] = Counter()

    def take(self, row: JournalRow, envelope: ExecutionEnvelope | None) -> None:
        # What was folded lies in its checkpoint.
        stored = None if isinstance(row, FoldedRow) else row.payload
        size = 0 if stored is None else len(stored)
        self._entries[row.entry_kind] += 1
        self._bytes[row.entry_kind] += size
        self.longest = max(self.longest, size)
        self.intents.take(row)
        if row.entry_kind == EntryKind.STEP_FAILED:
            self.failed_steps.append(self._failed(row, _opened(row, envelope)))
        elif row.entry_kind == EntryKind.EXECUTION_STARTED:
            self.predecessor = self.predecessor or linked_to(row)
        elif row.entry_kind == EntryKind.EXECUTION_FINISHED and row.generation == self._generation:
            self.ending = self._ended(row, _opened(row, envelope))

    def counts(self) -> list[KindCount]:
        return [
            KindCount(kind, count, self._bytes[kind])
            for kind, count in sorted(self._entries.items())
        ]

    def _failed(self, row: JournalRow, payload: bytes | None) -> FailedStep:
        name = StepDetail.name_in(row.detail)
        if payload is None:
            return FailedStep(row, name, None, None)
        failure = Failure.decode(payload)
        message = failure.message if self._reveal else None
        return FailedStep(row, name, failure.error_type, failure.attempts, message)

    def _ended(self, row: JournalRow, payload: bytes | None) -> Ending:
        successor = linked_to(row)
        if payload is None:
            return Ending(row, None, None, successor)
        finished = payload if payload == CONTINUED else read_finished(payload)
        error_type = finished.error_type if isinstance(finished, Failure) else None
        shown = revealed(row, payload) if self._reveal else None
        return Ending(row, error_type, shown, successor)


def _opened(row: JournalRow, envelope: ExecutionEnvelope | None) -> bytes | None:
    return None if envelope is None else envelope.open(row)
