"""What passes between core and a backend: values, columns in table order.

Execution ids are their 16 raw bytes here, times are milliseconds since 1970 UTC.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from attrs import field, frozen

from durable_core.model.entries import JournalRow
from durable_core.model.execution import ExecutionRow

__all__ = [
    "BatchOutcome",
    "Claimable",
    "CommitBatch",
    "EndedRow",
    "Fold",
    "FoldedRange",
    "HeadChange",
    "InboxRow",
    "Notice",
    "NoticeKind",
    "OwnerLoad",
    "PromiseRow",
    "Stray",
    "StrayKind",
    "TimerRow",
    "Usage",
]


class HeadChange(NamedTuple):
    """A conditional change of one execution's row; it carries the fence of its batch.

    It applies only where the stored row has `owner_epoch`, `expected_status` and `expected_count`.
    The remaining fields are the new values, `status` as its word, times in milliseconds.
    """

    execution_id: bytes
    owner_epoch: int
    expected_status: str
    expected_count: int
    status: str
    generation: int
    entry_count: int
    head_hmac: bytes | None
    anchor_mac: bytes | None
    updated_at: int
    finalized_at: int | None


class PromiseRow(NamedTuple):
    """Where a promise is, for whoever resolves it; columns in table order.

    `promise_id` has 16 bytes. `token_hash` are the 32 bytes that the resolver's token is compared
    with; nobody can make the token from them. `outcome`, None while it is open, are 32 bytes that
    tell one resolution from another and nothing else.
    """

    promise_id: bytes
    execution_id: bytes
    name: str
    token_hash: bytes
    outcome: bytes | None
    created_at: int


class TimerRow(NamedTuple):
    """When a timer of an execution is due, for whoever wakes it; columns in table order."""

    execution_id: bytes
    timer_id: str
    due_at: int


@frozen
class CommitBatch:
    """What one transaction writes. No execution stands both in `starts` and in `changes`.

    `starts` are executions that the batch creates, as they stand after the batch; `changes` are
    ordered by execution id; `rows` are in append order. Each row, promise and timer belongs to one
    of the two, and is written only where that applies.

    `promises` are kept unless they are there, and then lend their `outcome` to one that has none;
    of several that are one promise the same holds, in order. `timers` take the place of what is
    there, the last of several that are one timer counts. `disarmed`, pairs of an execution and a
    timer's id, go; a timer that stands in both is not there behind the batch.

    `successions` are pairs of an execution in `changes` and one in `starts` that continues it, with
    its workflow and key. Such a start applies where the change of the first does, and nowhere else,
    whoever has its key; the key leads to it from then on, if it led to the first.

    `meanwhile` is no part of what is written: the backend may call it once, on the event loop,
    while the database is at work on a batch of many rows and the event loop has time. Neither is
    `told`: the backend may call it once, on the event loop, with the outcome that `append` is about
    to return. It raises nothing.
    """

    starts: tuple[ExecutionRow, ...]
    changes: tuple[HeadChange, ...]
    rows: tuple[JournalRow, ...]
    promises: tuple[PromiseRow, ...] = ()
    timers: tuple[TimerRow, ...] = ()
    disarmed: tuple[tuple[bytes, str], ...] = ()
    successions: tuple[tuple[bytes, bytes], ...] = ()
    meanwhile: Callable[[], None] | None = field(default=None, eq=False, repr=False)
    told: Callable[[BatchOutcome], None] | None = field(default=None, eq=False, repr=False)

    @property
    def has_lookups(self) -> bool:
        """Whether it changes promises or timers; most batches do not."""
        return bool(self.promises or self.timers or self.disarmed)


@frozen
class BatchOutcome:
    """What became of a batch that the database committed.

    `seqs` has one element for each row of the batch, None where the row was not written.
    `unmatched` holds the executions whose `HeadChange` did not apply, and the starts that were to
    continue those: none of their rows was written. `taken` maps an execution that was to be started
    to the one that has its key already.
    """

    seqs: Sequence[int | None]
    unmatched: frozenset[bytes] = frozenset()
    taken: Mapping[bytes, bytes] = MappingProxyType({})

    @property
    def is_whole(self) -> bool:
        """Whether all of the batch was written."""
        return not (self.unmatched or self.taken)


class FoldedRange(NamedTuple):
    """Entries that follow one another, and the checkpoint that stands in their place.

    `entries` are the `entry_no` and the `hmac` of each, by `entry_no`.
    """

    entries: tuple[tuple[int, bytes | None], ...]
    checkpoint: JournalRow


@frozen
class Fold:
    """Entries of one execution that give way to checkpoints, in one transaction.

    It applies only where the stored row has `owner_epoch` and `status`, and where between the first
    and the last entry of each range exactly those of the range stand, by number and by `hmac`.
    """

    execution_id: bytes
    owner_epoch: int
    status: str
    ranges: tuple[FoldedRange, ...]


class InboxRow(NamedTuple):
    """A request by someone who does not own the execution, columns in table order.

    `slot` names what the request competes for (`"cancel"`, `"settle:4"`): the first one wins.
    """

    execution_id: bytes
    slot: str
    kind: str
    payload: bytes | None
    created_at: int


class OwnerLoad(NamedTuple):
    """How many executions of one workflow and one key are running under one owner."""

    owner_id: str
    workflow: str
    key_id: int | None
    executions: int


@frozen
class Claimable:
    """Which running executions may be claimed: of these owners, workflows and keys, but `passed`.

    Executions without a key are among them; those whose ids are in `passed` are not.
    """

    owners: Sequence[str]
    workflows: Sequence[str]
    key_ids: Sequence[int]
    passed: Sequence[bytes] = ()


class NoticeKind(enum.Enum):
    """What another engine may be waiting for."""

    ENDED = "ended"
    """An execution is not running any more: it has ended, or is blocked."""

    REQUEST = "request"
    """A request was filed for an execution."""

    WAITING = "waiting"
    """An execution waits for an engine: started for anyone, or given up."""


class Notice(NamedTuple):
    """A hint that something was committed; where many would be alike, one stands for all."""

    kind: NoticeKind
    execution_id: bytes


class EndedRow(NamedTuple):
    """An execution that has ended, as far as it matters to whoever prunes.

    `entries` is how many rows it has in the journal, and `payload_bytes` what their payloads and
    details hold together, as they are stored.
    """

    execution_id: bytes
    workflow: str
    execution_key: str | None
    status: str
    owner_epoch: int
    finalized_at: int
    entries: int
    payload_bytes: int

    @property
    def fence(self) -> tuple[bytes, str, int, int]:
        """Which execution it is, and what has to be so still when it is deleted."""
        return self.execution_id, self.status, self.owner_epoch, self.finalized_at


class Usage(NamedTuple):
    """What several executions hold together; the fields mean what they do in an `EndedRow`."""

    executions: int
    entries: int
    payload_bytes: int


class StrayKind(enum.Enum):
    """In which table something belongs to no execution; the value is the word for its rows."""

    ENTRIES = "entries"
    REQUESTS = "requests"
    KEYS = "keys"
    PROMISES = "promises"
    TIMERS = "timers"


class Stray(NamedTuple):
    """Rows that no execution accounts for, and the execution that they name."""

    kind: StrayKind
    execution_id: bytes
