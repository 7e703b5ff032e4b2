"""What the journal can say about a step: the closed set of answers, and how entries lead to one."""

from __future__ import annotations

from typing import Final

from attrs import define, field, frozen

from durable_core.errors import DecodeError
from durable_core.model.entries import STEP_KINDS, EntryKind, JournalRow

__all__ = [
    "CLOSES",
    "FRESH",
    "Armed",
    "Found",
    "Fresh",
    "IntentOnly",
    "Recorded",
    "Settled",
    "Wanted",
    "answer_of",
    "first_entry",
    "next_entry",
]

CLOSES: Final = frozenset(
    {
        EntryKind.STEP_RESULT,
        EntryKind.STEP_FAILED,
        EntryKind.TIMER_FIRED,
        EntryKind.PROMISE_CREATED,
    }
)
"""What is the last entry at its place."""

_FOLLOWERS: Final[dict[int, frozenset[EntryKind]]] = {
    EntryKind.TIMER_ARMED: frozenset({EntryKind.TIMER_FIRED, EntryKind.STEP_FAILED}),
}
"""What may follow the kinds that not every entry of a step may follow."""


@define(unsafe_hash=True)
class Wanted:
    """The step that the program asks for. Never changed; not frozen, as each step makes one."""

    step_id: str
    name: str
    fingerprint: bytes
    effect: int
    arguments: tuple[bytes, ...] = field(repr=False)
    """Each argument's encoding: what differs is told by the digests of these."""

    @property
    def is_step(self) -> bool:
        """Whether it is a step of the program, and no wait or promise."""
        return True

    def is_at(self, row: JournalRow) -> bool:
        """Whether `row` is an entry of exactly this step, so that it may be answered with."""
        return (
            row.entry_kind in STEP_KINDS
            and row.fingerprint == self.fingerprint
            and row.effect_class == self.effect
        )


@frozen
class Fresh:
    """Nothing is known: the step runs."""


FRESH = Fresh()


@define(unsafe_hash=True)
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


@frozen
class Armed:
    """A timer has a due time, and has not fired."""

    row: JournalRow


Found = Fresh | Recorded | IntentOnly | Settled | Armed


def first_entry(row: JournalRow) -> JournalRow:
    """`row`, the first entry at its place; `DecodeError` for one that no writer puts first."""
    if row.entry_kind == EntryKind.TIMER_FIRED:
        raise _out_of_order(row)
    return row


def next_entry(before: JournalRow, row: JournalRow) -> JournalRow:
    """`row`, which decides over the entry `before` it at its place.

    `DecodeError` for an order that no writer produces.
    """
    if before.entry_kind in CLOSES:
        message = f"entry {row.entry_no} follows the entry that closed step {row.step_id}"
        raise DecodeError(message)
    if row.entry_kind not in _FOLLOWERS.get(before.entry_kind, STEP_KINDS):
        raise _out_of_order(row)
    return row


def answer_of(row: JournalRow) -> Found:
    """What the entries at one place say, of which `row` is the last."""
    match row.entry_kind:
        case closing if closing in CLOSES:
            return Recorded(row)
        case EntryKind.TIMER_ARMED:
            return Armed(row)
        case EntryKind.EFFECT_INTENT:
            return IntentOnly(row)
        case EntryKind.INTENT_SETTLED:
            return Settled(row)
        case kind:
            message = f"entry {row.entry_no} of kind {kind} is no entry of a step"
            raise DecodeError(message)


def _out_of_order(row: JournalRow) -> DecodeError:
    return DecodeError(
        f"entry {row.entry_no} does not belong behind what the journal holds at {row.step_id}"
    )
