"""Chooses what retention deletes: by age, and then by the caps, the first to end first.

A choice is a value, the `Horizon`: up to where things go. Whoever computes it and whoever follows
it may be at it beside others, and a run that only looks follows the same one.
"""

from __future__ import annotations

import enum
from collections.abc import AsyncGenerator, Container, Sequence
from contextlib import aclosing
from typing import Final

from attrs import define, evolve, frozen

from durable_core.config import RetentionConfig
from durable_core.contracts.backend import ExecutionBackend
from durable_core.contracts.exchange import EndedRow, Usage
from durable_core.engine.children import parent_of
from durable_core.ids import ExecutionId
from durable_core.model.execution import TERMINAL, Status

__all__ = ["Choice", "Horizon", "Reason", "chosen", "horizon_of", "size_of"]

_PAGE: Final = 500
_ENTRY_BYTES: Final = 256
"""What an entry takes besides its payload and its detail: its other columns, and three indexes."""

_COMPLETED: Final = Status.COMPLETED.label
_ENDED: Final = frozenset(status.label for status in TERMINAL)

_Place = tuple[int, bytes]
_NOWHERE: Final[_Place] = (-(2**63), b"")


class Reason(enum.Enum):
    """Why an execution goes; the value is the setting that says so."""

    COMPLETED_TTL = "ttl_completed_secs"
    FAILED_TTL = "ttl_failed_secs"
    COUNT = "max_executions"
    BYTES = "max_journal_bytes"


@frozen
class Choice:
    """An execution that goes, and why."""

    row: EndedRow
    reason: Reason

    @property
    def size(self) -> int:
        """The bytes that it counts for under `max_journal_bytes`."""
        return size_of(self.row)


@frozen
class Horizon:
    """Up to where what has ended goes: by its age (ms), and by its place among the ends."""

    completed_before: int
    failed_before: int
    count_to: _Place = _NOWHERE
    bytes_to: _Place = _NOWHERE

    def reason(self, row: EndedRow) -> Reason | None:
        """Why it goes; None for what stays."""
        if row.status == _COMPLETED:
            if row.finalized_at < self.completed_before:
                return Reason.COMPLETED_TTL
        elif row.finalized_at < self.failed_before:
            return Reason.FAILED_TTL
        if _place(row) <= self.count_to:
            return Reason.COUNT
        return Reason.BYTES if _place(row) <= self.bytes_to else None

    def ends_before(self, row: EndedRow) -> bool:
        """Whether nothing goes from that row on."""
        oldest = max(self.completed_before, self.failed_before)
        return row.finalized_at >= oldest and _place(row) > max(self.count_to, self.bytes_to)


@define
class _Room:
    """How many executions and bytes there is room for; below zero they are too many."""

    executions: int
    size: int

    def take(self, executions: int, size: int) -> None:
        self.executions -= executions
        self.size -= size


def size_of(weight: EndedRow | Usage) -> int:
    """The bytes that these entries count for."""
    return weight.payload_bytes + _ENTRY_BYTES * weight.entries


async def horizon_of(backend: ExecutionBackend, retention: RetentionConfig, now_ms: int) -> Horizon:
    """What `retention` says of the journal as it is: first the ages, then the caps for the rest.

    The caps say how much of the newest stays. So what others delete meanwhile, which is older,
    changes nothing.
    """
    aged = Horizon(
        now_ms - retention.ttl_completed_secs * 1000, now_ms - retention.ttl_failed_secs * 1000
    )
    loose = _Room(0, 0)
    room = _Room(retention.max_executions, retention.max_journal_bytes)
    usage = await backend.journal.open_usage()
    room.take(usage.executions, size_of(usage))
    kept: set[ExecutionId] = set()
    after: EndedRow | None = None
    while page := await backend.journal.ended(after, _PAGE, newest_first=True):
        kept |= await _open_parents(backend, page)
        for row in page:
            if parent_of(row.execution_key) in kept:
                room.take(1, size_of(row))
            elif aged.reason(row) is None:
                loose.take(1, size_of(row))
        after = page[-1]
    if room.executions + loose.executions >= 0 and room.size + loose.size >= 0:
        return aged
    return await _capped(backend, aged, kept, room)


async def _capped(
    backend: ExecutionBackend, aged: Horizon, kept: Container[ExecutionId | None], room: _Room
) -> Horizon:
    """`aged` with the places of the newest rows for which there is no room."""
    horizon = aged
    after: EndedRow | None = None
    while page := await backend.journal.ended(after, _PAGE, newest_first=True):
        for row in page:
            if parent_of(row.execution_key) in kept or aged.reason(row) is not None:
                continue
            room.take(1, size_of(row))
            if room.executions < 0 and horizon.count_to == _NOWHERE:
                horizon = evolve(horizon, count_to=_place(row))
            if room.size < 0 and horizon.bytes_to == _NOWHERE:
                horizon = evolve(horizon, bytes_to=_place(row))
            if _NOWHERE not in {horizon.count_to, horizon.bytes_to}:
                return horizon
        after = page[-1]
    return horizon


async def chosen(backend: ExecutionBackend, horizon: Horizon) -> AsyncGenerator[Choice, None]:
    """What goes, the first to end first; what is deleted meanwhile does not disturb it."""
    async with aclosing(_loose(backend)) as loose:
        async for row in loose:
            if horizon.ends_before(row):
                return
            reason = horizon.reason(row)
            if reason is not None:
                yield Choice(row, reason)


async def _loose(backend: ExecutionBackend) -> AsyncGenerator[EndedRow, None]:
    """What has ended and is nobody's child whose parent has not."""
    after: EndedRow | None = None
    while page := await backend.journal.ended(after, _PAGE):
        kept = await _open_parents(backend, page)
        for row in page:
            if parent_of(row.execution_key) not in kept:
                yield row
        after = page[-1]


async def _open_parents(
    backend: ExecutionBackend, page: Sequence[EndedRow]
) -> frozenset[ExecutionId]:
    """The parents that may still ask for a child in `page`."""
    open_ones = set()
    for parent in {parent_of(row.execution_key) for row in page} - {None}:
        if parent is not None:
            row = await backend.load(parent.bytes)
            if row is not None and row.status not in _ENDED:
                open_ones.add(parent)
    return frozenset(open_ones)


def _place(row: EndedRow) -> _Place:
    return row.finalized_at, row.execution_id
