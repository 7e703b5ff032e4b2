"""What a batch means beyond its rows: to the key that it is under, and to those who wait."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from durable_core.contracts.exchange import (
    BatchOutcome,
    CommitBatch,
    HeadChange,
    Notice,
    NoticeKind,
    PromiseRow,
    TimerRow,
)
from durable_core.model.execution import ANYONE, TERMINAL, Status

__all__ = [
    "armed",
    "ends_something",
    "keeps_status",
    "kept",
    "notices_of",
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
    return any(change.status in _ENDED for change in batch.changes)


def keeps_status(change: HeadChange) -> bool:
    """Whether `status` and `finalized_at` stay: the schema has no end time for an open row."""
    return (
        change.status == change.expected_status
        and change.status in _OPEN
        and change.finalized_at is None
    )


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


def notices_of(batch: CommitBatch, outcome: BatchOutcome) -> Iterator[Notice]:
    """What of `batch` somebody may be waiting for, as far as it applied."""
    for change in batch.changes:
        ends = change.expected_status == _RUNNING != change.status
        if ends and change.execution_id not in outcome.unmatched:
            yield Notice(NoticeKind.ENDED, change.execution_id)
    started = [start for start in batch.starts if start.execution_id not in outcome.taken]
    for start in started:
        if start.status != _RUNNING:
            yield Notice(NoticeKind.ENDED, start.execution_id)
    for start in started:
        if start.owner_id == ANYONE and start.status == _RUNNING:
            yield Notice(NoticeKind.WAITING, start.execution_id)
            break
