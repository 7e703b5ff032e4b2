"""The entries of a journal: a closed union, one class for each kind.

A control entry has no `payload` attribute at all, so that it cannot carry one. Payloads are plain
encoded bytes here; the writer seals them when their batch is formed.

Of the kinds that each step and each execution makes the classes are not frozen, only never changed:
attrs sets the fields of a frozen class one by one through `object.__setattr__`, which takes eight
times as long.
"""

from __future__ import annotations

import enum
from typing import ClassVar, Final, NamedTuple

from attrs import define, field, frozen

from durable_core.ids import NO_STEP, ExecutionId, StepId
from durable_core.model.execution import Status

__all__ = [
    "PAYLOAD_VERSION",
    "PERSISTED_KINDS",
    "PROMISE_KINDS",
    "STEP_KINDS",
    "TIMER_KINDS",
    "Checkpoint",
    "EffectIntent",
    "Entry",
    "EntryKind",
    "ExecutionFinished",
    "ExecutionStarted",
    "FoldedRow",
    "IntentSettled",
    "JournalRow",
    "OpenedRow",
    "Outcome",
    "PromiseCreated",
    "PromiseResolved",
    "StepFailure",
    "StepResult",
    "TimerArmed",
    "TimerFired",
]

PAYLOAD_VERSION: Final = 1
"""The version of the payload encoding that this build writes, and the only one it reads."""


class EntryKind(enum.IntEnum):
    """Wire codes of the entry kinds; they stand in the `entry_kind` column."""

    EXECUTION_STARTED = 1
    EFFECT_INTENT = 2
    STEP_RESULT = 3
    STEP_FAILED = 4
    PROMISE_CREATED = 5
    PROMISE_RESOLVED = 6
    TIMER_ARMED = 7
    TIMER_FIRED = 8
    CHECKPOINT = 9
    EXECUTION_FINISHED = 10
    INTENT_SETTLED = 11

    @property
    def label(self) -> str:
        """The lower-case name, as the documents and the command line spell it."""
        return self.name.lower()


STEP_KINDS: Final = frozenset(
    {
        EntryKind.EFFECT_INTENT,
        EntryKind.STEP_RESULT,
        EntryKind.STEP_FAILED,
        EntryKind.INTENT_SETTLED,
    },
)
"""The kinds that belong to a step."""

TIMER_KINDS: Final = frozenset({EntryKind.TIMER_ARMED, EntryKind.TIMER_FIRED})
"""The kinds that belong to a timer."""

PROMISE_KINDS: Final = frozenset({EntryKind.PROMISE_CREATED, EntryKind.PROMISE_RESOLVED})
"""The kinds that belong to a promise."""

PERSISTED_KINDS: Final = (
    STEP_KINDS
    | TIMER_KINDS
    | PROMISE_KINDS
    | {EntryKind.EXECUTION_STARTED, EntryKind.EXECUTION_FINISHED}
)
"""The kinds that are appended; a checkpoint takes the place of entries, by `Journal.fold` alone."""


class Outcome(enum.IntEnum):
    """The first byte of a `step_result` payload: how the value came about."""

    VALUE = 0
    ASSUMED_DONE = 1
    RECONCILED = 2
    SETTLED = 3


class JournalRow(NamedTuple):
    """One row of `durable_journal` without its `seq`, columns in table order.

    `payload` is what lies on disk (sealed or not); `hmac` is None only in unstamped executions.
    """

    execution_id: bytes
    entry_no: int
    generation: int
    step_id: str
    entry_kind: int
    fingerprint: bytes | None
    idem_key: bytes | None
    effect_class: int
    detail: bytes | None
    payload: bytes | None
    payload_version: int
    hmac: bytes | None
    created_at: int


class OpenedRow(JournalRow):
    """An entry whose `payload` was opened and is plain; all else is as it is stored.

    Storage never makes one, so that no stored row is ever taken for opened.
    """

    __slots__ = ()


class FoldedRow(OpenedRow):
    """An entry that a checkpoint stands for, opened with it; all else is as it was."""

    __slots__ = ()


@define(unsafe_hash=True)
class ExecutionStarted:
    """Opens a generation; its payload is the encoded arguments.

    The first one of an execution that continues another names that one in its `detail`.
    """

    kind: ClassVar = EntryKind.EXECUTION_STARTED
    execution_id: ExecutionId
    generation: int
    payload: bytes = field(repr=False)
    step_id: StepId = NO_STEP
    detail: bytes | None = None


@define(unsafe_hash=True)
class EffectIntent:
    """A guarded function is about to be called. Carries no payload."""

    kind: ClassVar = EntryKind.EFFECT_INTENT
    execution_id: ExecutionId
    generation: int
    step_id: StepId
    fingerprint: bytes
    idem_key: bytes
    effect_class: int
    detail: bytes | None = None


@define(unsafe_hash=True)
class StepResult:
    """A step is done; payload: one `Outcome` byte, then the encoded value."""

    kind: ClassVar = EntryKind.STEP_RESULT
    execution_id: ExecutionId
    generation: int
    step_id: StepId
    fingerprint: bytes
    idem_key: bytes
    effect_class: int
    payload: bytes = field(repr=False)
    detail: bytes | None = None


@frozen
class StepFailure:
    """A step failed for good; payload: encoded error type, message and attempt count."""

    kind: ClassVar = EntryKind.STEP_FAILED
    execution_id: ExecutionId
    generation: int
    step_id: StepId
    fingerprint: bytes
    idem_key: bytes
    effect_class: int
    payload: bytes = field(repr=False)
    detail: bytes | None = None


@frozen
class IntentSettled:
    """A word on an open intent; payload: did run and the value, or did not run.

    An operator's, or the engine's own on a function that it did not call after all.
    """

    kind: ClassVar = EntryKind.INTENT_SETTLED
    execution_id: ExecutionId
    generation: int
    step_id: StepId
    fingerprint: bytes
    idem_key: bytes
    effect_class: int
    payload: bytes = field(repr=False)
    detail: bytes | None = None


@define(unsafe_hash=True)
class ExecutionFinished:
    """Closes a generation and puts the execution into the terminal `status`.

    Where another execution continues it, its `detail` names that one.
    """

    kind: ClassVar = EntryKind.EXECUTION_FINISHED
    execution_id: ExecutionId
    generation: int
    status: Status
    payload: bytes = field(repr=False)
    step_id: StepId = NO_STEP
    detail: bytes | None = None


@frozen
class PromiseCreated:
    """A promise was minted. Carries no payload."""

    kind: ClassVar = EntryKind.PROMISE_CREATED
    execution_id: ExecutionId
    generation: int
    step_id: StepId
    detail: bytes


@frozen
class PromiseResolved:
    """A promise has its outcome; payload: the value or the rejection."""

    kind: ClassVar = EntryKind.PROMISE_RESOLVED
    execution_id: ExecutionId
    generation: int
    step_id: StepId
    detail: bytes
    payload: bytes = field(repr=False)


@frozen
class TimerArmed:
    """A timer has a due time. Carries no payload."""

    kind: ClassVar = EntryKind.TIMER_ARMED
    execution_id: ExecutionId
    generation: int
    step_id: StepId
    detail: bytes


@frozen
class TimerFired:
    """A timer's time has come. Carries no payload."""

    kind: ClassVar = EntryKind.TIMER_FIRED
    execution_id: ExecutionId
    generation: int
    step_id: StepId
    detail: bytes


@frozen
class Checkpoint:
    """Part of a snapshot that stands in place of the range it names in `detail`."""

    kind: ClassVar = EntryKind.CHECKPOINT
    execution_id: ExecutionId
    generation: int
    detail: bytes
    payload: bytes = field(repr=False)
    step_id: StepId = NO_STEP


Entry = (
    ExecutionStarted
    | EffectIntent
    | StepResult
    | StepFailure
    | IntentSettled
    | ExecutionFinished
    | PromiseCreated
    | PromiseResolved
    | TimerArmed
    | TimerFired
    | Checkpoint
)
"""Everything that a journal can hold."""
