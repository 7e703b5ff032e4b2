"""What a batch means beyond its rows: to the key that it is under, and to those who wait."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeAlias

from durable_core.contracts.exchange import (
    BatchOutcome,
    CommitBatch,
    HeadChange,
    Notice,
    NoticeKind,
    PromiseRow,
    TimerRow,
)
from durable_core.model.execution import ANYONE, TERMINAL, ExecutionRow, Status

__all__ = [
    "Written",
    "armed",
    "begun",
    "ends_something",
    "keeps_status",
    "kept",
    "key_of",
    "moved_keys",
    "notices_of",
    "outcome_of",
    "refused",
    "taken_keys",
    "uses_key",
]

_RUNNING: Final = Status.RUNNING.label
_ENDED: Final = frozenset(status.label for status in TERMINAL)
_OPEN: Final = frozenset(status.label for status in Status) - _ENDED


def uses_key(batch: CommitBatch) -> bool:
    """Whether something of it may be under a key: a start, or a payload."""
    return bool(batch.starts) or any(row.payload is not None for row in batch.rows)


def ends_something(batch: CommitBatch) -> bool:
    """Whether an execution ends with it."""
    return not _ENDED.isdisjoint([change.status for change in batch.changes])


def keeps_status(change: HeadChange) -> bool:
    """Whether `status` and `finalized_at` stay: the schema has no end time for an open row."""
    status = change.status
    return status == change.expected_status and status in _OPEN and change.finalized_at is None


def kept(batch: CommitBatch) -> list[PromiseRow]:
    """The promises that it keeps, each once: the first one, with the first outcome."""
    promises: dict[tuple[bytes, bytes], PromiseRow] = {}
    for promise in batch.promises:
        first = promises.setdefault((promise.execution_id, promise.promise_id), promise)
        if first.outcome is None and promise.outcome is not None:
            promises[promise.execution_id, promise.promise_id] = first._replace(
                outcome=promise.outcome
            )
    return list(promises.values())


def armed(batch: CommitBatch) -> list[TimerRow]:
    """The timers that it arms and does not disarm: the last word on each, by execution and id."""
    timers = {timer[:2]: timer for timer in batch.timers}
    return [timers[place] for place in sorted(timers.keys() - set(batch.disarmed))]


def key_of(start: ExecutionRow) -> tuple[str, str | None]:
    """Where the table of keys has it."""
    return start.workflow, start.execution_key


def refused(batch: CommitBatch, unmatched: frozenset[bytes]) -> frozenset[bytes]:
    """What is not `unmatched` alone: with it go the starts that were to continue it."""
    if not batch.successions:
        return unmatched
    return unmatched.union(heir for one, heir in batch.successions if one in unmatched)


def begun(
    batch: CommitBatch, unmatched: Container[bytes]
) -> tuple[Sequence[ExecutionRow], Sequence[ExecutionRow]]:
    """The starts that need a key of their own, and those that take over another's."""
    if not batch.successions:
        return batch.starts, ()
    heirs = {heir for _, heir in batch.successions}
    own = [start for start in batch.starts if start.execution_id not in heirs]
    continuing = (start for start in batch.starts if start.execution_id in heirs)
    return own, [start for start in continuing if start.execution_id not in unmatched]


def moved_keys(
    batch: CommitBatch, continuing: Iterable[ExecutionRow]
) -> list[tuple[bytes, str, str | None, bytes]]:
    """For each start that takes over a key the parameters of `texts.MOVE_KEY`."""
    before = {heir: one for one, heir in batch.successions}
    keyed = (start for start in continuing if start.execution_key is not None)
    return [(start.execution_id, *key_of(start), before[start.execution_id]) for start in keyed]


def taken_keys(
    starts: Iterable[ExecutionRow], stored: Mapping[tuple[str, str | None], bytes]
) -> dict[bytes, bytes]:
    """The starts whose key another execution has, `stored` or earlier among them."""
    holders, taken = dict(stored), {}
    for start in starts:
        if key_of(start) in holders:
            taken[start.execution_id] = holders[key_of(start)]
        else:
            holders[key_of(start)] = start.execution_id
    return taken


Written: TypeAlias = Iterable[tuple[bytes, int | None, int | None, bytes | None]]
"""Executions that applied, each with the number and the seq of an entry or with none; those whose
key another one has, with that holder."""


def outcome_of(batch: CommitBatch, written: Written) -> BatchOutcome:
    """What a statement that writes a whole batch returned; holders that it did not see are missing.

    A start that lost its key to an earlier one of the batch may be among those.
    """
    applied: set[bytes] = set()
    seqs: dict[tuple[bytes, int | None], int] = {}
    taken: dict[bytes, bytes] = {}
    for execution_id, entry_no, seq, holder in written:
        if holder is not None:
            taken[execution_id] = holder
            continue
        applied.add(execution_id)
        if seq is not None:
            seqs[execution_id, entry_no] = seq
    won = {key_of(start): start.execution_id for start in batch.starts if start[0] in applied}
    changed = (change.execution_id for change in batch.changes)
    unmatched = refused(batch, frozenset(one for one in changed if one not in applied))
    decided = applied | unmatched | taken.keys()
    for start in batch.starts:
        if start.execution_id not in decided and key_of(start) in won:
            taken[start.execution_id] = won[key_of(start)]
    numbered = [seqs.get((row.execution_id, row.entry_no)) for row in batch.rows]
    return BatchOutcome(numbered, unmatched, taken)


def notices_of(batch: CommitBatch, outcome: BatchOutcome) -> Iterator[Notice]:
    """What of `batch` somebody may be waiting for, as far as it applied."""
    for change in batch.changes:
        ends = change.expected_status == _RUNNING != change.status
        if ends and change.execution_id not in outcome.unmatched:
            yield Notice(NoticeKind.ENDED, change.execution_id)
    lost = outcome.taken.keys() | outcome.unmatched
    started = [start for start in batch.starts if start.execution_id not in lost]
    for start in started:
        if start.status != _RUNNING:
            yield Notice(NoticeKind.ENDED, start.execution_id)
    for start in started:
        if start.owner_id == ANYONE and start.status == _RUNNING:
            yield Notice(NoticeKind.WAITING, start.execution_id)
            break
