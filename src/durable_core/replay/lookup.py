"""What the journal can say about a step: the closed set of answers, and how entries lead to one."""

from __future__ import annotations

from attrs import define, frozen

from durable_core.errors import DecodeError
from durable_core.model.entries import EntryKind, JournalRow

__all__ = ["FRESH", "Found", "Fresh", "IntentOnly", "Recorded", "Settled", "StepRecord", "Wanted"]


@frozen
class Wanted:
    """The step that the program asks for."""

    step_id: str
    name: str
    fingerprint: bytes
    effect: int
    digests: bytes


@frozen
class Fresh:
    """Nothing is known: the step runs."""


FRESH = Fresh()


@frozen
class Recorded:
    """The step is closed by a `step_result` or a `step_failed`; its function is not called."""

    row: JournalRow


@frozen
class IntentOnly:
    """A guarded step has an intent and nothing after it: its ambiguity policy decides."""

    row: JournalRow


@frozen
class Settled:
    """An operator has said what became of an open intent."""

    row: JournalRow


Found = Fresh | Recorded | IntentOnly | Settled


@define
class StepRecord:
    """The entries of one step, in order, reduced to the one that decides."""

    row: JournalRow
    closed: bool = False

    def add(self, row: JournalRow) -> None:
        """Take in the step's next entry; `DecodeError` for an order that no writer produces."""
        if self.closed:
            message = f"entry {row.entry_no} follows the entry that closed step {row.step_id}"
            raise DecodeError(message)
        self.row = row
        self.closed = row.entry_kind in (EntryKind.STEP_RESULT, EntryKind.STEP_FAILED)

    @classmethod
    def of(cls, row: JournalRow) -> StepRecord:
        """The record that begins with `row`."""
        record = cls(row)
        record.add(row)
        return record

    def answer(self) -> Found:
        """What the entries so far say."""
        match self.row.entry_kind:
            case EntryKind.STEP_RESULT | EntryKind.STEP_FAILED:
                return Recorded(self.row)
            case EntryKind.EFFECT_INTENT:
                return IntentOnly(self.row)
            case EntryKind.INTENT_SETTLED:
                return Settled(self.row)
            case kind:
                message = f"entry {self.row.entry_no} of kind {kind} is no entry of a step"
                raise DecodeError(message)
